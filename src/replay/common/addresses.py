"""Addresses of stores, and what must not be shown of them.

``s3://KEY:SECRET@bucket/path`` and ``…?secret_key=SECRET`` work, but whatever is
written down is read by others: messages, tables and pages call it ``s3://bucket/path``.
"""

import re
from typing import Final

ADDRESS: Final = "://"
#: A user with or without a password. A port, after which a path may hold an ``@``, is
#: none; a password that should have been quoted may hold a slash.
_USER: Final = re.compile(
    r"(?<=://)(?:[^/\s'\"@:?]*@|(?![^/\s@:]*:[0-9]*/)[^/\s'\"@:]*:[^\s'\"@]*@)"
)
#: Options of an address; a ``?`` alone is a pattern's.
_OPTIONS: Final = re.compile(r"(://[^\s'\"?]*)\?[A-Za-z_][\w.-]*=[^\s'\"]*")


def without_secrets(text: str) -> str:
    """Cut users, passwords and options out of every address in a text."""
    if ADDRESS not in text:
        return text
    return _OPTIONS.sub(r"\1", _USER.sub("", text))


def secret_root(text: str) -> str:
    """Return what opens an address's store where that is more than is shown of it.

    Parameters
    ----------
    text : str
        A path or an address.

    Returns
    -------
    str
        ``s3://KEY:SECRET@bucket?OPTIONS``; empty if there is no secret in it.
    """
    if ADDRESS not in text or (shown := without_secrets(text)) == text:
        return ""
    scheme, _, rest = shown.partition(ADDRESS)
    user = _USER.search(text)
    options = _OPTIONS.search(text)
    query = text[options.end(1) : options.end()] if options else ""
    bucket = rest.partition("/")[0]
    return f"{scheme}{ADDRESS}{user[0] if user else ''}{bucket}{query}"
