"""What a file is called in messages and in what is written about it."""

import os
from pathlib import PurePath


def path_text(path: str | PurePath) -> str:
    r"""Name a path by text that can be printed and stored.

    A file's name is bytes: what of it is not UTF-8 is shown as ``\xff``. A path that
    the locale's encoding has not read comes out as it would with UTF-8.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
