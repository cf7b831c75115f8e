"""Formats with five columns: time, volume, beginning, length and operation.

They differ in the columns' order, in units, and in how an operation is written.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.trace.formats.base import (
    Reading,
    fill_range,
    fill_times,
    scaled,
)
from replay.trace.formats.row_dtype import Rows, new_rows
from replay.trace.formats.text_table import TextRows, blanks_vary, one_blank, read_table


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """One of these formats; ``read`` reads its files.

    Attributes
    ----------
    columns : mapping
        Every column by name, in order.
    time, offset, size, volume : str
        The columns.
    time_ns : int
        ns of what ``time`` is read as: 1 for seconds with a fraction.
    unit : int
        Bytes of ``offset`` and ``size``: 1 or 512.
    op : callable
        Gives the rows' operations, checked.
    prefix : str
        A volume's cgroup and device are called by it and what stands in ``volume``.
    blanks : bool
        Columns are separated by blanks, else by commas.
    """

    columns: Mapping[str, pa.DataType]
    time: str
    time_ns: int
    offset: str
    size: str
    unit: int
    op: Callable[[TextRows], NDArray[np.int64]]
    volume: str
    prefix: str
    blanks: bool = False

    def read(self, reading: Reading) -> Iterator[Rows]:
        """Read the rows of one file."""
        names = reading.names
        vary = self.blanks and blanks_vary(reading.head)
        for part in read_table(
            reading,
            self.columns,
            delimiter=" " if self.blanks else ",",
            prepare=one_blank if vary else None,
        ):
            rows = new_rows(len(part))
            first, times = part.first_row, part.numbers(self.time)
            fill_times(
                reading, first, rows, scaled(reading, first, times, self.time_ns)
            )
            offset, size = part.numbers(self.offset), part.numbers(self.size)
            fill_range(reading, first, rows, offset, size, unit=self.unit)
            rows["op"] = self.op(part)
            rows["cgroup"] = part.mapped(
                self.volume, lambda id: names.cgroup(f"{self.prefix}{id}")
            )
            rows["device"] = part.mapped(
                self.volume, lambda id: names.device(f"{self.prefix}{id}")
            )
            yield rows
