"""VSCSI traces of CloudPhysics: binary, version 1 (32 bytes) or 2 (40 bytes) a record.

Little-endian, as ESX wrote it::

         version 1                            version 2
     0   u32 serial number                0   u16 SCSI operation code, u16 version
     4   u32 length, bytes                4   u32 serial number
     8   u32 segments                     8   u32 length, bytes
    12   u16 operation code, u16 version 12   u32 segments
    16   u64 logical block, 512 B        16   u64 logical block
    24   u64 time, us                    24   u64 time, us
                                         32   u64 response time, us

``version >> 8`` is 1 or 2.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.common.errors import TraceError
from replay.trace.file.schema import OP_CODES
from replay.trace.formats.base import (
    MAX_TIME_NS,
    Format,
    Reading,
    fill_range,
    fill_times,
    scaled,
)
from replay.trace.formats.row_dtype import Rows, new_rows

US_NS: Final = 1000
V1: Final = np.dtype(
    [
        ("serial", "<u4"),
        ("length", "<u4"),
        ("segments", "<u4"),
        ("command", "<u2"),
        ("version", "<u2"),
        ("block", "<u8"),
        ("time_us", "<u8"),
    ]
)
V2: Final = np.dtype(
    [
        ("command", "<u2"),
        ("version", "<u2"),
        ("serial", "<u4"),
        ("length", "<u4"),
        ("segments", "<u4"),
        ("block", "<u8"),
        ("time_us", "<u8"),
        ("response_us", "<u8"),
    ]
)
#: SCSI operation codes of data; all others pass through.
OPERATIONS: Final = {
    0x08: "read",
    0x28: "read",
    0xA8: "read",
    0x88: "read",
    0x0A: "write",
    0x2A: "write",
    0xAA: "write",
    0x8A: "write",
    0x2E: "write",
    0x8E: "write",
    0x35: "flush",
    0x91: "flush",
    0x41: "write_zeroes",
    0x93: "write_zeroes",
    0x42: "discard",
}
_CODES: Final = np.full(256, OP_CODES["passthrough"], np.int8)
for _command, _name in OPERATIONS.items():
    _CODES[_command] = OP_CODES[_name]

ROWS: Final = 1 << 15


def layout(head: bytes) -> np.dtype[np.void] | None:
    """Find the version of a file from its first records; None if it has none."""
    for version, record in ((1, V1), (2, V2)):
        whole = len(head) // record.itemsize
        if whole == 0:
            continue
        records = np.frombuffer(head, record, whole)
        if (
            np.all(records["version"] >> 8 == version)
            and np.all(records["command"] < 256)
            and np.all(records["time_us"] < MAX_TIME_NS // US_NS)
        ):
            return record
    return None


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    record = layout(reading.head)
    if record is None:
        raise TraceError(
            f"{reading.path}: byte 0: no VSCSI record: its version is neither 1 nor 2"
        )
    version = 1 if record is V1 else 2
    cgroup = reading.names.cgroup(reading.stem)
    device = reading.names.device(reading.stem)
    first_row = 1
    while data := reading.file.read(ROWS * record.itemsize):
        whole, rest = divmod(len(data), record.itemsize)
        if rest:
            offset = (first_row - 1 + whole) * record.itemsize
            raise TraceError(
                f"{reading.path}: byte {offset}: {rest} bytes are left, and a record "
                f"has {record.itemsize}: the file is cut off"
            )
        records = np.frombuffer(data, record)
        good = (records["version"] >> 8 == version) & (records["command"] < 256)
        reading.require(first_row, good, f"no record of version {version}")
        rows = new_rows(whole)
        arrival = scaled(reading, first_row, records["time_us"].astype(np.int64), US_NS)
        response = None
        if record is V2:
            response = records["response_us"].astype(np.int64)
            response = scaled(reading, first_row, response, US_NS)
        fill_times(reading, first_row, rows, arrival, response)
        rows["op"] = _CODES[records["command"]]
        block = records["block"].astype(np.int64)
        # what passes through has no place on the disk
        block[rows["op"] == OP_CODES["passthrough"]] = 0
        zero = np.zeros(whole, np.int64)
        fill_range(reading, first_row, rows, zero, records["length"].astype(np.int64))
        reading.require(first_row, block >= 0, "the logical block is too large")
        rows["sector"] = block
        rows["cgroup"] = cgroup
        rows["device"] = device
        first_row += whole
        yield rows


def matches(head: bytes) -> bool:
    """Tell it by versions, operation codes and times of the first records."""
    record = layout(head)
    if record is None:
        return False
    known = np.isin(
        np.frombuffer(head, record, len(head) // record.itemsize)["command"],
        list(OPERATIONS),
    )
    return bool(known.mean() > 0.5)


def damaged(head: bytes) -> str | None:
    """Say which record is damaged, if most are good."""
    for version, record in ((1, V1), (2, V2)):
        records = np.frombuffer(head, record, len(head) // record.itemsize)
        good = (
            (records["version"] >> 8 == version)
            & np.isin(records["command"], list(OPERATIONS))
            & (records["time_us"] < MAX_TIME_NS // US_NS)
        )
        if len(good) > 1 and good.mean() > 0.5:
            number = int(np.argmin(good))
            return f"byte {number * record.itemsize}: no record of version {version}"
    return None


def doubt(head: bytes) -> str | None:
    """Say what speaks against it."""
    if layout(head) is None:
        return "the first records' version is neither 1 nor 2"
    return None


FORMAT: Final = Format(
    name="vscsi",
    text="VSCSI traces of CloudPhysics, binary, version 1 and 2",
    columns="length (B), SCSI operation code, logical block (512 B), time (us), "
    "response time (us, version 2)",
    cgroup="the file's name",
    read=read,
    matches=matches,
    damaged=damaged,
    doubt=doubt,
    binary=True,
    lacks="processes; completions (version 1)",
)
