"""Read events as text: what blkparse printed, and the kernel's trace.

The text is made into the records that it was printed from, in a temporary file without
a name, and those are decoded like any other: text and binary give the same requests.
What is not printed is not there: the wall clock, the length of passthrough requests
that completed, the sector of a flush.
"""

import mmap
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self

import msgspec
import numpy as np
import pyarrow as pa

from replay.common.errors import TraceError
from replay.common.temporary import temporary_file
from replay.common.text import count_text
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
from replay.trace.file.metadata import Quality, Summary
from replay.trace.inputs.unpack import Unpacked
from replay.trace.rows import RowStream
from replay.trace.text._blkparse import TextRecords
from replay.trace.text.kinds import (
    BASE_NS,
    BLKPARSE,
    MAX_LINE,
    TextKind,
    are_differences,
    go_back,
    what_lacks,
)

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from numpy.typing import NDArray

    from replay.trace.text._blkparse import ParsedLines

READ_BYTES: Final = 1 << 22
#: A record that came too late, as ``TextRecords.late`` gives it.
LATE: Final = np.dtype(
    [("time", "<u8"), ("tie", "<u8"), ("n_bytes", "<u8"), ("data", "V408")]
)
#: So many of them are sorted at once: 28 MB.
RUN_RECORDS: Final = 1 << 16
#: What ftrace says at the beginning of events that its buffer had room for.
_WRITTEN: Final = re.compile(
    rb"^# entries-in-buffer/entries-written: (\d+)/(\d+)", re.MULTILINE
)
#: Requests that a filter, or a recording's begin and end, cut in two.
_FEW_HALVES: Final = 2
_SHARE_OF_HALVES: Final = 0.01


@dataclass
class _Learned:
    """Facts from the texts of one iteration, beside their events."""

    counts: Counter[str] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    #: Events that a trace's buffer no longer held.
    overwritten: int = 0
    #: Times that were differences from the line before, and whether those are in us.
    differences: int = 0
    cut: bool = False
    #: Operations with flags.
    operations: set[int] = field(default_factory=set)
    n_read: int = 0


class TextBatches(RowStream):
    """The requests of text, in batches.

    Parameters
    ----------
    paths : sequence of Path
        Files of one capture, merged by time; each may be compressed.
    kind : TextKind
        What they are.
    batch_rows : int
        Rows of a batch, at least 1; the last may be shorter.
    on_read : callable or None
        Called while the text is read.

    Notes
    -----
    As `BlktraceBatches`. The records take as much of the temporary directory's file
    system as the text is long; memory does not grow with it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        kind: TextKind = BLKPARSE,
        *,
        batch_rows: int = 1 << 16,
        on_read: Callable[[], None] | None = None,
    ) -> None:
        self._paths = list(paths)
        self._kind = kind
        self._batch_rows = batch_rows
        self._on_read = on_read
        self._threads = 1
        self._learned = _Learned()
        self._head = b""

    @property
    def bytes_read(self) -> int:
        """Bytes of the files, as they lie, that were read in this iteration."""
        return self._learned.n_read

    def use_threads(self, threads: int) -> None:
        """Read lines, and pair what they say, in so many threads."""
        self._threads = threads

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read from the start."""
        self._summary = None
        learned = self._learned = _Learned()
        text = self._kind.reader()
        sources: list[CaptureFile] = []
        for path in self._paths:
            sources += self._records(path, text)
        rows = BlktraceBatches(sources, batch_rows=self._batch_rows)
        rows.use_threads(self._threads)
        for batch in rows:
            ops = batch.column("op").indices.to_numpy()
            # flags are 5 bits
            kinds = ops.astype(np.int64) << 5 | batch.column("flags").to_numpy() & 31
            learned.operations |= {*np.flatnonzero(np.bincount(kinds)).tolist()}
            yield batch
        self._summary = _summary(rows.summary, learned, self._kind, text.paths())

    def _records(self, path: Path, text: TextRecords) -> list[CaptureFile]:
        """Make one file's text into records: those in order, and runs of the others."""
        learned = self._learned
        before = learned.n_read
        late = _Late(str(path))
        with (
            Unpacked(path) as file,
            temporary_file() as records,
            _Taker(text, records, late, self._threads) as taker,
        ):
            rest, differences = b"", False
            text.restart()
            while data := file.read(READ_BYTES):
                if not learned.n_read - before:
                    self._note_head(data)
                    differences = are_differences(data, self._kind)
                    text.restart(differences)
                rest = taker.take(rest + data)
                learned.n_read = before + file.bytes_read
                if len(rest) > MAX_LINE:
                    raise TraceError(
                        f"{path}: byte {file.bytes_read}: a line of {len(rest)} bytes: "
                        f"this is not {self._kind.name}'s text"
                    )
                if self._on_read is not None:
                    self._on_read()
            taker.end()
            records.write(text.finish(rest))
            late.add(text.late())
            records.flush()
            counts = text.counts()
            self._check(path, counts, differences=differences)
            learned.counts.update(counts)
            if differences:
                learned.differences += counts["times"]
                learned.cut = learned.cut or not counts["in_ns"]
            learned.lost.update(text.lost())
            # the map keeps the file
            map_ = mmap.mmap(records.fileno(), 0, access=mmap.ACCESS_READ)
        return [CaptureFile(name=str(path), data=map_), *late.sources()]

    def _note_head(self, data: bytes) -> None:
        self._head = data[:MAX_LINE]
        if match := _WRITTEN.search(data[:MAX_LINE]):
            held, written = int(match[1]), int(match[2])
            self._learned.overwritten += max(written - held, 0)

    def _check(self, path: Path, counts: dict[str, int], *, differences: bool) -> None:
        """Refuse text that is not, or mostly not, what it should be."""
        if differences and len(self._paths) > 1:
            raise TraceError(
                f"{path}: its times are each the time since the line before: where "
                "it begins in the other files' times is not known: give it alone"
            )
        n, n_below = counts["times"], counts["below_latest"]
        # those of CPUs one after the other are below the latest, but rarely go back
        if not differences and go_back(counts) and 2 * n_below > n:
            raise TraceError(
                f"{path}: its times go back at {counts['steps_back']} of {n} lines: "
                "they are the time since the line before (`perf script --deltatime`), "
                "of which some are missing: print it without that (real times: sort)"
            )
        if counts["no_time"] and not counts["events"]:
            raise TraceError(
                f"{path}: its times are counts of a clock without a unit (trace_clock "
                "x86-tsc or counter): record with trace_clock mono, or let "
                "`trace-cmd report --ts2secs HZ` print seconds"
            )
        if counts["paths_dropped"]:
            raise TraceError(f"{path}: more than 12,288 cgroups: not a trace")
        n_good = counts["events"] + counts["messages"]
        if counts["events"] and n_good >= counts["refused"]:
            return
        if self._kind.kernel and counts["other"] and not counts["refused"]:
            raise TraceError(
                f"{path}: holds {count_text(counts['other'], 'event')} and none of the "
                "block layer that tell a request's life (block_io_start and _done do "
                "not): record the events block:*, or the tracer blk"
            )
        if self._kind.kernel and (lacking := what_lacks(self._head)):
            raise TraceError(f"{path}: {lacking}")
        line = counts["first_refused"] or 1
        raise TraceError(
            f"{path}: line {line}: is not in {self._kind.what} "
            f"({counts['refused']} of {counts['lines']} lines are not)"
        )


class _Late:
    """Records that came too late, sorted in runs: each a source of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held: list[NDArray[np.void]] = []
        self._n_held = 0
        self._sources: list[CaptureFile] = []

    def add(self, data: bytes) -> None:
        """Take what `TextRecords.late` gives."""
        if not data:
            return
        rows = np.frombuffer(data, LATE)
        self._held.append(rows)
        self._n_held += len(rows)
        if self._n_held >= RUN_RECORDS:
            self._write()

    def _write(self) -> None:
        rows = np.concatenate(self._held)
        self._held, self._n_held = [], 0
        order = np.lexsort((rows["tie"], rows["time"]))
        lengths = rows["n_bytes"][order].tolist()
        # a void field gives the bytes of each
        datas = rows["data"][order].tobytes()
        size = LATE["data"].itemsize
        with temporary_file() as run:
            run.write(
                b"".join(
                    datas[size * place : size * place + length]
                    for place, length in enumerate(lengths)
                )
            )
            run.flush()
            map_ = mmap.mmap(run.fileno(), 0, access=mmap.ACCESS_READ)
        self._sources.append(CaptureFile(name=self._name, data=map_))

    def sources(self) -> list[CaptureFile]:
        """Give the runs; nothing is added any more."""
        if self._held:
            self._write()
        return self._sources


class _Taker:
    """Has lines read by other threads, if there are any, and makes records in order."""

    def __init__(
        self, text: TextRecords, records: IO[bytes], late: _Late, threads: int
    ) -> None:
        self._text = text
        self._records = records
        self._late = late
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._parsed: deque[Future[ParsedLines]] = deque()

    def __enter__(self) -> Self:
        if self._threads > 1:
            # not imported for nothing
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, "lines")
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, data: bytes) -> bytes:
        """Take all whole lines; return what is left."""
        end = data.rfind(b"\n") + 1
        if self._pool is None:
            self._take(partial(self._text.take, data))
        else:
            self._parsed.append(self._pool.submit(self._text.parse, data[:end]))
            if len(self._parsed) > self._threads:
                self._take_first()
        return data[end:]

    def end(self) -> None:
        """Take what others still read."""
        while self._parsed:
            self._take_first()

    def _take_first(self) -> None:
        parsed = self._parsed.popleft().result()
        self._take(partial(self._text.take_parsed, parsed))

    def _take(self, step: Callable[[int], tuple[int, bytes]]) -> None:
        place = 0
        while True:
            before = place
            place, out = step(place)
            late_data = self._text.late()
            self._late.add(late_data)
            if not out and not late_data and place == before:
                return
            self._records.write(out)


def _summary(
    summary: Summary, learned: _Learned, kind: TextKind, paths: dict[int, bytes]
) -> Summary:
    """Put in what the text's reader learned, and take out what it added."""
    counts = learned.counts
    quality = summary.quality
    # the names stood in the events' lines
    notes = {name: n for name, n in quality.notes.items() if name != "process"}
    quality = msgspec.structs.replace(
        quality,
        records=quality.records - quality.notes.get("process", 0),
        notes=notes,
        refused_bytes=quality.refused_bytes + counts["refused_bytes"],
        truncated_bytes=quality.truncated_bytes + counts["truncated_bytes"],
        out_of_order=quality.out_of_order + counts["out_of_order"],
        no_disk=counts["no_disk"],
        recorder="kernel" if kind.kernel else "blkparse",
    )
    if kind.kernel:
        lost = {str(cpu): n for cpu, n in sorted(learned.lost.items())}
        quality = msgspec.structs.replace(
            quality, lost=lost, overwritten=learned.overwritten
        )
    elif _is_filtered(summary, quality, learned):
        quality = msgspec.structs.replace(quality, left_out=quality.lost, lost={})
    names = {
        number: path.decode("utf-8", "backslashreplace")
        for number, path in paths.items()
    }
    cgroups = [
        msgspec.structs.replace(one, path="/" if one.id == 1 else names.get(one.id))
        if names
        else one
        for one in summary.cgroups
    ]
    return msgspec.structs.replace(
        summary,
        start_ns=summary.start_ns - BASE_NS,
        end_ns=summary.end_ns - BASE_NS,
        quality=quality,
        cgroups=cgroups,
        cgroup_names=bool(names),
        format=kind.name,
        notes=[*summary.notes, *_notes(learned)],
    )


def _is_filtered(summary: Summary, quality: Quality, learned: _Learned) -> bool:
    """Return True if lines were left out: numbers of the text's events are missing.

    Events that were lost while recording tear requests; a filter leaves whole ones, or
    those of one process, one kind, or without their completions, which name no process.
    """
    if not quality.lost:
        return False
    if learned.counts["skips_lines"]:
        # blkparse says it itself, and its summary stands behind all of its lines
        return learned.counts["skips"] == 0
    halves = quality.unfinished + quality.never_issued + sum(quality.unmatched.values())
    if halves <= max(_FEW_HALVES, _SHARE_OF_HALVES * summary.n_rows):
        return True
    active = sum(1 for one in summary.processes if one.n_requests)
    some = {letter for letter in "QDC" if quality.events.get(letter)}
    return (
        active <= 1
        or len(learned.operations) <= 1
        or len(some) <= 1
        or (
            # `grep NAME` leaves what names a process
            "C" not in some
        )
    )


def _notes(learned: _Learned) -> list[str]:
    notes = []
    if n := learned.counts["wrapped"]:
        notes.append(
            f"{count_text(n, 'time')} before the first event, which blkparse printed "
            "as 1266874889 s and less: put where they belong."
        )
    if n := learned.differences:
        cut = (
            " Each is cut to 1 us: a time between two events is up to 1 us too short "
            "for each line from the one to the other."
        ) * learned.cut
        notes.append(
            f"{count_text(n, 'time')} since the line before (`perf script "
            f"--deltatime`), added up: right where no line of it is missing.{cut}"
        )
    if n := learned.counts["other"]:
        notes.append(f"{count_text(n, 'other event')} of the kernel's trace left out.")
    return notes
