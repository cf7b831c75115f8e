"""DiskSim's ASCII input and MQSim's: the same five columns, but in other units.

They cannot be told apart for sure, so the name must be given; what speaks against it
is refused: DiskSim's times are ms with a fraction, MQSim's whole ns. In DiskSim bit 0
of the type is "read"; MQSim has 0 for a write and 1 for a read.
"""

import re
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.trace.file.schema import OP_CODES
from replay.trace.formats.base import Format, complete_lines
from replay.trace.formats.row_dtype import SECTOR_BYTES
from replay.trace.formats.text_table import INTEGER, MILLISECONDS, WORD, TextRows
from replay.trace.formats.volumes import Volumes

MAX_TYPE: Final = 1 << 16


_LINE = re.compile(rb"\s*\d+(?:\.\d+)?\s+\d+\s+\d+\s+\d+\s+\d+\s*")


def _volumes(time: pa.DataType, known_types: int) -> Volumes:
    def op(part: TextRows) -> NDArray[np.int64]:
        type_ = part.numbers("type")
        good = (type_ >= 0) & (type_ < known_types)
        text = f"type is not below {known_types}"
        part.reading.require(part.first_row, good, text)
        return np.where(type_ & 1, OP_CODES["read"], OP_CODES["write"])

    return Volumes(
        columns={
            "arrival": time,
            "device": WORD,
            "lba": INTEGER,
            "size": INTEGER,
            "type": INTEGER,
        },
        time="arrival",
        time_ns=1,
        offset="lba",
        size="size",
        unit=SECTOR_BYTES,
        op=op,
        volume="device",
        prefix="device_",
        blanks=True,
    )


def _first_times(head: bytes) -> list[bytes]:
    return [fields[0] for line in complete_lines(head) if (fields := line.split())]


def doubt_disksim(head: bytes) -> str | None:
    """Say what speaks against DiskSim."""
    times = _first_times(head)
    if times and not any(b"." in time for time in times):
        return (
            "no time has a fraction, as ms have in DiskSim's traces: is it mqsim "
            "(whole ns)?"
        )
    return None


def doubt_mqsim(head: bytes) -> str | None:
    """Say what speaks against MQSim."""
    if any(b"." in time for time in _first_times(head)):
        return "times have a fraction, and MQSim's are whole ns: is it disksim (ms)?"
    return None


DISKSIM: Final = Format(
    name="disksim",
    text="DiskSim's ASCII input",
    columns="arrival (ms, with a fraction), device, lba (512 B sectors), size "
    "(sectors), flags with bit 0 = read",
    cgroup="device",
    read=_volumes(MILLISECONDS, MAX_TYPE).read,
    line=_LINE,
    doubt=doubt_disksim,
    lacks="completions, processes",
)
MQSIM: Final = Format(
    name="mqsim",
    text="MQSim's input",
    columns="arrival (ns), device, lba (512 B sectors), size (sectors), type 0 write "
    "or 1 read",
    cgroup="device",
    read=_volumes(INTEGER, 2).read,
    line=_LINE,
    doubt=doubt_mqsim,
    lacks="completions, processes",
)
