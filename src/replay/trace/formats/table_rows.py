"""Requests of a table whose columns are known: what any of them makes a row.

A request is queued, issued and completed. A table may have each of these times, or the
lengths between: ``wait`` from the one to the other, ``response`` from the second to the
third. What it has of them says the rest.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.trace.file.schema import FLAGS, OP_CODES, device_number
from replay.trace.formats import _columns
from replay.trace.formats.base import MAX_NBYTES, MAX_TIME_NS, Reading, fill_range
from replay.trace.formats.csv_columns import (
    LENGTHS,
    MOMENTS,
    SIZE_UNITS,
    TIME_UNITS,
    WORDS,
    Column,
)
from replay.trace.formats.fiu import MAX_PID, note_processes
from replay.trace.formats.operations import NO_REQUEST, OPERATIONS, kernel_operation
from replay.trace.formats.row_dtype import Rows, chosen, new_rows
from replay.trace.formats.text_table import INTEGER, TEXT, WORD, TextRows

#: What stands for a device that has no name.
NO_DEVICE: Final = frozenset({"", "?", "-", "<unknown>", "unknown", "none", "n/a"})
#: The sector of a command that has no place.
NOWHERE: Final = (1 << 64) - 1
NOWHERE_SIGNED: Final = -1
SECTOR: Final = 512
DAY_NS: Final = 86_400_000_000_000
_OTHER_WORDS: Final = ": say what words mean, as in op={}:0=read/1=write"


class TableRows:
    """Makes rows of a table's parts, in their order.

    Parameters
    ----------
    reading : Reading
    columns : mapping of str to Column
        By field.
    operations : mapping of str to int, or None
        Codes of an operation's words; None: the usual ones, and the kernel's.
    nowhere : bool
        A device without a name is no error, and a sector 2**64 - 1 has no place.
    """

    def __init__(
        self,
        reading: Reading,
        columns: Mapping[str, Column],
        operations: Mapping[str, int] | None = None,
        *,
        nowhere: bool = True,
    ) -> None:
        self._reading = reading
        self._columns = columns
        self._operations = operations
        self._clocks: dict[str, tuple[int, int]] = {}

    @staticmethod
    def type_of(field: str) -> pa.DataType:
        """Say how a field's column is to be read."""
        if field in (*MOMENTS, *LENGTHS):
            return TEXT
        if field in ("offset", "size", "pid", "id"):
            return INTEGER
        return WORD

    def rows(self, part: TextRows) -> Rows:
        """Make a part's rows; those that are no I/O are left out and counted."""
        rows, skip = self.all_rows(part)
        if skip.any():
            self._reading.n_skipped += int(np.count_nonzero(skip))
            rows = chosen(rows, ~skip)
        return rows

    def all_rows(self, part: TextRows) -> tuple[Rows, NDArray[np.bool_]]:
        """Make a part's rows, and a mask of those that are no I/O."""
        rows = new_rows(len(part))
        blank = self._fill_times(part, rows)
        skip = self._fill_operations(part, rows)
        self._fill_range(part, rows, skip)
        self._fill_names(part, rows, skip)
        part.reading.require(
            part.first_row, ~blank | skip, "the time is blank, and no other tells it"
        )
        return rows, skip

    # --- times ------------------------------------------------------------------------

    def _time(self, part: TextRows, field: str) -> NDArray[np.int64] | None:
        column = self._columns.get(field)
        if column is None:
            return None
        values, kinds = part.times(
            column.source, TIME_UNITS[column.unit], dated=column.unit == "date"
        )
        if field in LENGTHS:
            known = values != _columns.BLANK
            # a tool that does not know says -1
            values = np.where(known & (values >= 0), values, _columns.BLANK)
        elif kinds & _columns.CLOCK:
            if kinds != _columns.CLOCK:
                self._reading.refuse(
                    part.first_row, f"{column.source} has times of day and other times"
                )
            values = self._unwrapped(field, values)
        return values

    def _unwrapped(self, field: str, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Let a time of day go on behind midnight."""
        known = values[values != _columns.BLANK]
        if not len(known):
            return values
        last, days = self._clocks.get(field, (int(known[0]), 0))
        steps = np.diff(known, prepend=last)
        half = DAY_NS // 2
        turns = days + np.cumsum((steps < -half).astype(np.int64) - (steps > half))
        self._clocks[field] = int(known[-1]), int(turns[-1])
        values = values.copy()
        values[values != _columns.BLANK] = known + turns * DAY_NS
        return values

    def _fill_times(self, part: TextRows, rows: Rows) -> NDArray[np.bool_]:
        """Set the times; return a mask of the rows without one."""
        none = np.full(len(rows), _columns.BLANK)
        found = {field: self._time(part, field) for field in (*MOMENTS, *LENGTHS)}
        time, issue, end, response, wait = (
            none if values is None else values for values in found.values()
        )

        def known(values: NDArray[np.int64]) -> NDArray[np.bool_]:
            found: NDArray[np.bool_] = values != _columns.BLANK
            return found

        issued = issue.copy()
        for fits, value in (
            (known(end) & known(response), end - response),
            (known(time) & known(wait), time + wait),
            (known(time), time),
        ):
            take = fits & ~known(issued)
            issued[take] = value[take]
        queued = np.where(
            known(time), time, np.where(known(wait), issued - wait, issued)
        )
        done = np.where(
            known(end), end, np.where(known(response), issued + response, -1)
        )
        has_end = known(end) | known(response)
        blank: NDArray[np.bool_] = ~known(issued)
        first = part.first_row
        bound = (np.abs(issued) < MAX_TIME_NS) | blank
        self._reading.require(first, bound, "the time is too large for its unit")
        good = blank | (queued <= issued)
        self._reading.require(first, good, "it is issued before it arrives")
        good = blank | ~has_end | ((done >= issued) & (done - issued < MAX_TIME_NS))
        self._reading.require(first, good, "it ends before it is issued, or far behind")
        rows["arrival_ns"] = np.where(blank, 0, issued)
        rows["wait_ns"] = np.where(blank, 0, issued - queued)
        rows["response_ns"] = np.where(has_end & ~blank, done - issued, -1)
        return blank

    # --- what, and where --------------------------------------------------------------

    def _fill_operations(self, part: TextRows, rows: Rows) -> NDArray[np.bool_]:
        """Set operation and flags; return a mask of the rows that are no requests."""
        source = self._columns["op"].source
        codes, words = part.words(source)
        known: list[tuple[int, int]] = []
        for code, word in enumerate(words):
            found: tuple[int, int] | None
            if self._operations is not None:
                op = self._operations.get(word.lower())
                found = None if op is None else (op, 0)
            else:
                found = kernel_operation(word)
                if found is None and (op := WORDS.get(word.lower())) is not None:
                    found = op, 0
            if found is None:
                row = part.first_row + int(np.argmax(codes == code))
                names = ", ".join(repr(one) for one in self._operations or OPERATIONS)
                self._reading.refuse(
                    row,
                    f"{source} is {word[:40]!r}, not {names}"
                    f"{_OTHER_WORDS.format(source)}",
                )
            known.append(found)
        table = np.array(known, np.int64).reshape(-1, 2)
        op = table[codes, 0]
        skip: NDArray[np.bool_] = op == NO_REQUEST
        rows["op"] = op
        rows["flags"] = table[codes, 1]
        return skip

    def _fill_range(self, part: TextRows, rows: Rows, skip: NDArray[np.bool_]) -> None:
        columns = self._columns
        first = part.first_row
        unit = SIZE_UNITS[columns["size"].unit]
        size = part.numbers(columns["size"].source)
        text = f"{columns['size'].source} is negative or too large"
        part.reading.require(first, (size >= 0) & (size <= (1 << 62) // unit), text)
        size = size * unit
        part.reading.require(
            first, size <= MAX_NBYTES, f"{columns['size'].source} is 4 GiB or more"
        )
        unit = SIZE_UNITS[columns["offset"].unit]
        offset = part.numbers(columns["offset"].source)
        nowhere = offset == NOWHERE_SIGNED
        if nowhere.any():
            # a command, or a flush
            rows["op"] = np.where(
                nowhere & ~skip,
                np.where(size == 0, OP_CODES["flush"], OP_CODES["passthrough"]),
                rows["op"],
            )
            offset = np.where(nowhere, 0, offset)
        text = f"{columns['offset'].source} is negative or too large"
        part.reading.require(first, (offset >= 0) & (offset <= (1 << 62) // unit), text)
        fill_range(part.reading, first, rows, offset * unit, size)
        # a write of nothing with a flush before it is that flush, as in a block trace
        flush = (size == 0) & (rows["flags"] & FLAGS["preflush"] != 0)
        rows["op"] = np.where(flush, OP_CODES["flush"], rows["op"])
        rows["flags"] = np.where(flush, 0, rows["flags"])

    # --- whose ------------------------------------------------------------------------

    def _fill_names(self, part: TextRows, rows: Rows, skip: NDArray[np.bool_]) -> None:
        columns, names = self._columns, part.reading.names
        if "pid" in columns:
            pid = part.numbers(columns["pid"].source)
            good = (pid >= 0) & (pid <= MAX_PID)
            part.reading.require(part.first_row, good, f"pid is not in 0..{MAX_PID}")
            rows["pid"] = pid
        if "process" in columns:
            note_processes(part.reading, part, rows, columns["process"].source)
        if "cgroup" in columns:
            rows["cgroup"] = part.mapped(columns["cgroup"].source, names.cgroup_of)
        if "device" not in columns:
            rows["device"] = names.device(part.reading.stem)
            return
        codes, words = part.words(columns["device"].source)
        unnamed = np.array([word.lower() in NO_DEVICE for word in words], np.bool_)
        if unnamed.any():
            # of no disk: a command to a controller, unless it is of whole sectors
            size = rows["nbytes"]
            command = (size == 0) | (size % SECTOR != 0)
            skip |= unnamed[codes] & command
        device = _device(names.device)
        numbers = np.zeros(len(words), np.int64)
        # one that only rows have that are left out gets no number
        for code in np.unique(codes[~skip]).tolist():
            numbers[code] = device(words[code] or "?")
        rows["device"] = numbers[codes]


def _device(number: Callable[[str], int]) -> Callable[[str], int]:
    """Take ``8:0`` as it is, ``8,0`` too; number any other name."""

    def device(name: str) -> int:
        match = re.fullmatch(r"(\d+)[:,](\d+)", name)
        if match is None:
            return number(name)
        return device_number(f"{match[1]}:{match[2]}")

    return device
