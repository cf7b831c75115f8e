"""The trace file's columns, and the codes that stand in them.

One place for what the decoder writes, the engine reads and the documents describe.
Codes are frozen: they are written to files.
"""

from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 2

#: Operation of a request; the position is the dictionary index in the ``op`` column.
OPS: Final = (
    "read",
    "write",
    "discard",
    "flush",
    "write_zeroes",
    "zone",
    "passthrough",
)
OP_CODES: Final = {name: code for code, name in enumerate(OPS)}

#: Bits of the ``flags`` column.
FLAGS: Final = {
    "sync": 1,
    "meta": 2,
    "fua": 4,
    "preflush": 8,
    "readahead": 16,
    "below": 32,
}

#: Stands in the value slot of a time that was not seen (the slot is also null).
NOT_SEEN_NS: Final = -1


def _field(name: str, type_: pa.DataType, unit: str, text: str) -> pa.Field:
    return pa.field(name, type_, metadata={"unit": unit, "description": text})


TRACE_SCHEMA: Final = pa.schema(
    [
        _field(
            "queue_ns",
            pa.int64(),
            "ns",
            "first Q since the trace's start; null if not seen",
        ),
        _field(
            "issue_ns",
            pa.int64(),
            "ns",
            "first D since the trace's start; null if not seen",
        ),
        _field(
            "complete_ns",
            pa.int64(),
            "ns",
            "last C since the trace's start; null if not seen",
        ),
        _field(
            "last_issue_ns",
            pa.int64(),
            "ns",
            "last D since the trace's start, if the driver gave the request back and "
            "got it again; null if the first was the last",
        ),
        _field("device", pa.uint32(), "", "traced device, major << 20 | minor"),
        _field("sector", pa.uint64(), "512 B sectors", "first sector"),
        _field("nbytes", pa.uint32(), "bytes", "length"),
        _field(
            "n_bios", pa.uint32(), "bios", "bios in the request, merged ones included"
        ),
        _field("op", pa.dictionary(pa.int8(), pa.string()), "", "operation"),
        _field(
            "flags",
            pa.uint16(),
            "bits",
            "sync 1, meta 2, fua 4, preflush 8, readahead 16, below 32 (another traced "
            "device passed it down)",
        ),
        _field("cgroup", pa.uint64(), "", "cgroup id of the first bio's Q; 0 = none"),
        _field("pid", pa.int32(), "", "process of the first bio's Q"),
        _field("cpu", pa.uint16(), "", "CPU of the first bio's Q"),
        _field(
            "error", pa.int32(), "errno", "of the completion; 0 = none, else negative"
        ),
    ]
)


def device_text(device: int) -> str:
    """Show a device number as people write it.

    Parameters
    ----------
    device : int
        ``major << 20 | minor``.

    Returns
    -------
    str
        For example ``"7:0"``.
    """
    return f"{device >> 20}:{device & 0xFFFFF}"


def device_number(text: str) -> int:
    """Parse ``"major:minor"``.

    Parameters
    ----------
    text : str
        For example ``"7:0"``.

    Returns
    -------
    int
        ``major << 20 | minor``.

    Raises
    ------
    ValueError
        The text is not two decimal numbers in range.
    """
    major, _, minor = text.partition(":")
    if not (major.isdecimal() and minor.isdecimal()):
        raise ValueError(f"{text!r} is not MAJOR:MINOR")
    if int(major) >= 1 << 12 or int(minor) >= 1 << 20:
        raise ValueError(f"{text!r}: major is below 4096 and minor below 1048576")
    return int(major) << 20 | int(minor)
