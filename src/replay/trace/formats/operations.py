"""Names of operations in other programs' tables, and in the kernel."""

import re
from typing import Final

from replay.trace.file.schema import FLAGS, OP_CODES

#: What an operation is called where the user does not say.
OPERATIONS: Final = {
    "r": "read",
    "read": "read",
    "rs": "read",
    "ra": "read",
    "w": "write",
    "write": "write",
    "ws": "write",
    "d": "discard",
    "discard": "discard",
    "trim": "discard",
    "unmap": "discard",
    "f": "flush",
    "flush": "flush",
    "sync": "flush",
}
#: What the user calls a row that is no I/O.
SKIP: Final = "skip"
#: The code of such a row.
NO_REQUEST: Final = -1

#: The kernel's flags: a flush before, the operation, and how it is wanted.
_KERNEL: Final = re.compile(r"(F?)(WZ|DE|ZRA|Z[ARFOC]|[WDRFN])?(F?)(A?)(S?)(M?)U?")
_KERNEL_OPS: Final = {
    "R": "read",
    "W": "write",
    "WZ": "write_zeroes",
    "D": "discard",
    "DE": "discard",
    "F": "flush",
    "N": "passthrough",
    "ZA": "write",
}

#: A row's event, where issue and completion are rows of their own.
ISSUE: Final = 0
COMPLETE: Final = 1
#: A row of another event.
OTHER: Final = 2
#: What events are called.
EVENT_WORDS: Final = {
    **dict.fromkeys(
        ("issue", "issued", "d", "start", "begin", "submit", "submitted", "send"), ISSUE
    ),
    **dict.fromkeys(
        ("complete", "completed", "completion", "c", "end", "done", "finish"), COMPLETE
    ),
}


def kernel_operation(word: str) -> tuple[int, int] | None:
    """Read an operation as the kernel's trace events and tools on them show it.

    Parameters
    ----------
    word : str
        Such as ``WSM``, ``RA`` or ``FF``.

    Returns
    -------
    tuple of int, or None
        The operation's code and its flags; None if it is none.
    """
    match = _KERNEL.fullmatch(word)
    if match is None or not word:
        return None
    before, main, fua, ahead, sync, meta = match.groups()
    if main is None:
        # F, FS: the operation itself
        main, before = "F", ""
        if not word.startswith("F"):
            return None
    name = _KERNEL_OPS.get(main, "zone")
    flags = 0
    if name != "flush":
        for said, flag in (
            (before, "preflush"),
            (fua, "fua"),
            (ahead, "readahead"),
            (sync, "sync"),
            (meta, "meta"),
        ):
            flags |= FLAGS[flag] if said else 0
    return OP_CODES[name], flags
