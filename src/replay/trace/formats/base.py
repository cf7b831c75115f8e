"""The type of a format, and its reader's arguments."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from replay.common.errors import TraceError
from replay.common.text import path_text
from replay.trace.file.metadata import ProcessName
from replay.trace.formats.options import FormatOptions
from replay.trace.formats.row_dtype import SECTOR_BYTES, Rows
from replay.trace.inputs.unpack import Unpacked

if TYPE_CHECKING:
    from concurrent.futures import Executor

#: A name's cgroup id; 0 is "none" and 1 the root's in every trace.
NO_CGROUP: Final = 0
ROOT_CGROUP: Final = 1
FIRST_CGROUP: Final = 2
_CGROUP_ID: Final = re.compile(r"(0[xX])[0-9a-fA-F]{1,16}|[0-9]{1,20}")
#: What `/proc/PID/cgroup` has before a path: of version 2, or of version 1's blkio.
_HIERARCHY: Final = re.compile(r"\d+:[\w,=-]*:(?=/)")
MAX_NAMES: Final = 1 << 20
MAX_PROCESS_NAMES: Final = 1 << 16
MAX_NBYTES: Final = (1 << 32) - 1
MAX_TIME_NS: Final = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Format:
    """One row of the registry.

    Attributes
    ----------
    name : str
        As the user gives it.
    text : str
        One line: what records it.
    columns : str
        Its columns and their units, for the documents.
    cgroup : str
        What a request's cgroup is made of, for the documents.
    read : callable
        Reads one file; yields its rows as they lie.
    line : compiled pattern of bytes or None
        What a line of a request looks like, without its end; None: it is no text, or
        the user says what is in it.
    matches : callable or None
        Tells by a file's first bytes whether it is surely of this format; None: the
        content cannot tell.
    damaged : callable or None
        For a binary format: says by a file's first bytes which record is damaged, if
        most of the others are of this format; returns None otherwise.
    doubt : callable or None
        Says by a file's first bytes why it cannot be of this format, though the user
        said so; returns None where there is no reason.
    binary : bool
        It is no text.
    epoch : bool
        The clock counts from 1970, so the wall clock is known.
    finish : callable or None
        Changes rows in order, as a last step.
    estimate : str or None
        What in the rows is an estimate, not a record.
    names_paths : bool
        Its names of cgroups may be their paths, or the kernel's ids.
    lacks : str
        What it does not say, for the documents.
    """

    name: str
    text: str
    columns: str
    cgroup: str
    read: "Callable[[Reading], Iterator[Rows]]"
    line: "re.Pattern[bytes] | None" = None
    matches: Callable[[bytes], bool] | None = None
    damaged: Callable[[bytes], str | None] | None = None
    doubt: Callable[[bytes], str | None] | None = None
    binary: bool = False
    epoch: bool = False
    finish: Callable[[Iterator[Rows]], Iterator[Rows]] | None = None
    estimate: str | None = None
    names_paths: bool = False
    lacks: str = ""


def cgroup_path(word: str) -> str | None:
    """Make a cgroup's path of a word, as the kernel prints it.

    Parameters
    ----------
    word : str
        Such as ``/a/b``, ``/a//b/`` or ``0::/a/b``.

    Returns
    -------
    str or None
        None if it is no path.
    """
    path = _HIERARCHY.sub("", word, count=1)
    if not path.startswith("/"):
        return None
    steps = [step for step in path.split("/") if step]
    return None if {".", ".."} & {*steps} else "/" + "/".join(steps)


@dataclass
class NameNumbers:
    """Numbers for the names that occur in a trace, in order of appearance.

    A device is 0:1, 0:2, … for the first, second, … name: no block device has the
    major number 0. A cgroup is 2, 3, …, and its path is made of the name.
    """

    cgroups: dict[str, int] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    processes: dict[int, list[ProcessName]] = field(default_factory=dict)
    n_process_names: int = 0
    n_dropped: int = 0
    #: Paths of the kernel's cgroup ids, where the user gave them.
    paths: Mapping[int, str] = field(default_factory=dict)
    #: Ids that `paths` has not.
    unknown_ids: set[int] = field(default_factory=set)

    def cgroup_of(self, word: str) -> int:
        """Return the id of a cgroup by what a column says of it.

        Parameters
        ----------
        word : str
            A path, as a line of ``/proc/PID/cgroup`` too (``0::/a/b``); a number, which
            is looked up in `paths`, if there are any; or any other name. Empty: none is
            known. ``/``: the root's.
        """
        if not word:
            return NO_CGROUP
        if self.paths and (match := _CGROUP_ID.fullmatch(word)):
            number = int(word, 0) if match[1] else int(word)
            path = self.paths.get(number)
            if path is None:
                self.unknown_ids.add(number)
            word = path or word
        word = cgroup_path(word) or word
        return ROOT_CGROUP if word == "/" else self.cgroup(word)

    def cgroup(self, name: str) -> int:
        """Return a cgroup's id."""
        return self._number(self.cgroups, name, "cgroups", FIRST_CGROUP)

    def device(self, name: str) -> int:
        """Return a device's number."""
        return self._number(self.devices, name, "devices", 1)

    def process(self, time_ns: int, pid: int, name: str) -> None:
        """Note that a process has a name at a time, on the format's clock."""
        names = self.processes.setdefault(pid, [])
        if names and names[-1].name == name:
            return
        if self.n_process_names == MAX_PROCESS_NAMES:
            self.n_dropped += 1
            return
        self.n_process_names += 1
        names.append(ProcessName(time_ns=time_ns, name=name))

    @staticmethod
    def _number(known: dict[str, int], name: str, what: str, first: int) -> int:
        number = known.get(name)
        if number is None:
            if len(known) + first >= MAX_NAMES:
                raise TraceError(f"{name!r}: {MAX_NAMES} {what} and more: not a trace")
            number = known[name] = len(known) + first
        return number


@dataclass
class Reading:
    """One file that is read, and what is learned of it beside its rows.

    Attributes
    ----------
    file : Unpacked
        Its bytes.
    head : bytes
        The first of them, read before.
    names : NameNumbers
        Shared by all files of a conversion.
    options : FormatOptions
        What the user said.
    pool : Executor or None
        Has threads for what can be done while rows are made of what came before.
    n_skipped : int
        Rows that are no I/O, or that the format leaves blank; the reader counts them.
    n_lost : int
        Requests that the recorder says it lost.
    notes : list of str
        What else was learned.
    """

    file: Unpacked
    head: bytes
    names: NameNumbers
    options: FormatOptions
    pool: "Executor | None" = None
    n_skipped: int = 0
    n_lost: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The file's name, for messages."""
        return self.file.path

    @property
    def stem(self) -> str:
        """The file's name without directory and endings."""
        return path_text(PurePath(self.path).name).split(".", 1)[0] or "trace"

    def refuse(self, row: int, text: str) -> NoReturn:
        """Refuse the file for one of its rows.

        Parameters
        ----------
        row : int
            Counted from 1.
        text : str
            What is wrong.

        Raises
        ------
        TraceError
            Always.
        """
        raise TraceError(f"{self.path}: row {row}: {text}")

    def require(self, first_row: int, good: NDArray[np.bool_], text: str) -> None:
        """Refuse the file if a row is not good.

        Parameters
        ----------
        first_row : int
            Number of the first of these rows, counted from 1.
        good : ndarray of bool, shape (n_rows,)
        text : str
            What is wrong with a row that is not.

        Raises
        ------
        TraceError
            With the number of the first such row.
        """
        if not good.all():
            self.refuse(first_row + int(np.argmin(good)), text)


def fill_range(
    reading: Reading,
    first_row: int,
    rows: Rows,
    offset: NDArray[np.int64],
    size: NDArray[np.int64],
    *,
    unit: int = 1,
) -> None:
    """Set where requests begin and how long they are.

    Parameters
    ----------
    reading : Reading
    first_row : int
        Number of the first row, counted from 1.
    rows : ndarray of `ROW`, shape (n,)
        ``sector`` and ``nbytes`` are set.
    offset, size : ndarray of int64, shape (n,)
        In units of ``unit`` bytes. A beginning inside a sector counts as the sector's;
        the size stays what it is.
    unit : int
        Bytes: 1 or 512.

    Raises
    ------
    TraceError
        One is negative, or a request has 4 GiB or more.
    """
    reading.require(first_row, offset >= 0, "the offset is negative")
    good = (size >= 0) & (size <= MAX_NBYTES // unit)
    reading.require(first_row, good, "the size is negative, or 4 GiB or more")
    rows["sector"] = offset if unit == SECTOR_BYTES else offset * unit // SECTOR_BYTES
    rows["nbytes"] = size * unit


def fill_times(
    reading: Reading,
    first_row: int,
    rows: Rows,
    arrival_ns: NDArray[np.int64],
    response_ns: "NDArray[np.int64] | None" = None,
) -> None:
    """Set when requests arrive, and how long they take.

    Parameters
    ----------
    reading : Reading
    first_row : int
        Number of the first row, counted from 1.
    rows : ndarray of `ROW`, shape (n,)
    arrival_ns : ndarray of int64, shape (n,)
        On the format's clock.
    response_ns : ndarray of int64, shape (n,), or None
        -1 where it is not known.

    Raises
    ------
    TraceError
        A time is negative or beyond 146 years.
    """
    good = (arrival_ns >= 0) & (arrival_ns < MAX_TIME_NS)
    reading.require(first_row, good, "the time is negative or too large for its unit")
    rows["arrival_ns"] = arrival_ns
    if response_ns is not None:
        good = (response_ns >= -1) & (response_ns < MAX_TIME_NS - arrival_ns)
        reading.require(first_row, good, "the response time is negative or too large")
        rows["response_ns"] = response_ns


def scaled(
    reading: Reading, first_row: int, values: NDArray[np.int64], factor: int
) -> NDArray[np.int64]:
    """Multiply times by their unit; refuse what does not fit.

    Parameters
    ----------
    reading : Reading
    first_row : int
        Number of the first row, counted from 1.
    values : ndarray of int64, shape (n,)
    factor : int
        ns of a unit.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    TraceError
        A value is too large for its unit.
    """
    if factor == 1:
        return values
    bound = MAX_TIME_NS // factor
    good = (values >= -bound) & (values <= bound)
    reading.require(first_row, good, "the time is too large for its unit")
    return values * factor


def complete_lines(head: bytes) -> list[bytes]:
    """Return the lines of a file's beginning, without the one that may be cut off."""
    lines = head.splitlines()
    if head[-1:] not in (b"\n", b"") and len(lines) > 1:
        lines.pop()
    return lines


def all_lines(line: re.Pattern[bytes]) -> Callable[[bytes], bool]:
    """Make what tells a format by the first lines: each must be one of its rows."""

    def matches(head: bytes) -> bool:
        lines = complete_lines(head)
        return bool(lines) and all(map(line.fullmatch, lines))

    return matches


def first_line(line: re.Pattern[bytes], what: str) -> Callable[[bytes], str | None]:
    """Make what speaks against a format if the first line is none of its rows."""

    def doubt(head: bytes) -> str | None:
        lines = complete_lines(head)
        if lines and not line.fullmatch(lines[0]):
            return f"the first line is not {what}"
        return None

    return doubt


def lookup(values: ArrayLike, codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Replace codes by the values that they stand for."""
    return np.asarray(values, np.int64)[codes]
