"""DiskSim's ASCII input and MQSim's: the same five columns, but in other units.

They cannot be told apart for sure, so the name must be given; what speaks against it
is refused: DiskSim's times are ms with a fraction, MQSim's whole ns. In DiskSim bit 0
of the type is "read"; MQSim has 0 for a write and 1 for a read.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from replay.trace.formats.base import Format, Reading, fill_range, fill_times
from replay.trace.formats.rows import SECTOR_BYTES, Rows, new_rows
from replay.trace.formats.table import (
    INTEGER,
    MILLISECONDS,
    WORD,
    blanks_vary,
    complete_lines,
    one_blank,
    read_table,
)
from replay.trace.schema import OP_CODES

MAX_TYPE: Final = 1 << 16


def _reader(time: pa.DataType, known_types: int) -> Callable[[Reading], Iterator[Rows]]:
    columns = {
        "arrival": time,
        "device": WORD,
        "lba": INTEGER,
        "size": INTEGER,
        "type": INTEGER,
    }

    def read(reading: Reading) -> Iterator[Rows]:
        names = reading.names
        prepare = one_blank if blanks_vary(reading.head) else None
        for part in read_table(reading, columns, delimiter=" ", prepare=prepare):
            rows = new_rows(len(part))
            fill_times(reading, part.first_row, rows, part.numbers("arrival"))
            lba, size = part.numbers("lba"), part.numbers("size")
            fill_range(reading, part.first_row, rows, lba, size, unit=SECTOR_BYTES)
            type_ = part.numbers("type")
            good = (type_ >= 0) & (type_ < known_types)
            reading.require(part.first_row, good, f"type is not below {known_types}")
            rows["op"] = np.where(type_ & 1, OP_CODES["read"], OP_CODES["write"])
            rows["cgroup"] = part.mapped(
                "device", lambda id: names.cgroup(f"device_{id}")
            )
            rows["device"] = part.mapped(
                "device", lambda id: names.device(f"device_{id}")
            )
            yield rows

    return read


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
    read=_reader(MILLISECONDS, MAX_TYPE),
    doubt=doubt_disksim,
)
MQSIM: Final = Format(
    name="mqsim",
    text="MQSim's input",
    columns="arrival (ns), device, lba (512 B sectors), size (sectors), type 0 write "
    "or 1 read",
    cgroup="device",
    read=_reader(INTEGER, 2),
    doubt=doubt_mqsim,
)
