"""Paths of cgroups."""

from typing import Final

ROOT: Final = "/"
#: The kernel shows no path longer than PATH_MAX.
MAX_PATH: Final = 4096


def check_path(path: str) -> str:
    """Check that a cgroup's path is written as the kernel writes it.

    Parameters
    ----------
    path : str
        From the hierarchy's root, for example ``"/test.slice"``.

    Returns
    -------
    str
        The same path.

    Raises
    ------
    ValueError
        It does not begin with ``/``, has an empty, ``.`` or ``..`` component, ends in
        ``/``, or is longer than `MAX_PATH`.
    """
    if not path.startswith(ROOT):
        raise ValueError('does not begin with "/"')
    if len(path) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    if path != ROOT and any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise ValueError('has an empty, "." or ".." component')
    if "\n" in path or "\0" in path:
        raise ValueError("holds a line break")
    return path


def parent_path(path: str) -> str:
    """Return the path one level up; the root's is the root."""
    return path[: path.rfind("/")] or ROOT
