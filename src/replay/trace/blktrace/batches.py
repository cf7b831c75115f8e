"""Read blktrace captures: binary records in, batches of requests out.

The work is done by the compiled `Decoder`; here its columns become Arrow batches and
its counts a `Summary`. Memory does not grow with the trace: the bytes are read where
they are mapped, and at most ``window`` open requests are held.
"""

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from msgspec import Struct

from replay.trace.blktrace._decoder import Decoder
from replay.trace.file.batch import allocate, make_batch
from replay.trace.file.metadata import (
    Cgroup,
    Device,
    Layer,
    Message,
    Process,
    ProcessName,
    Quality,
    Summary,
)
from replay.trace.rows import RowStream

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from replay.trace.blktrace.slices import SliceReader, SliceSizes

#: What the letter of an event is called in `Quality.events`, by its code.
EVENT_NAMES: Final = (
    "",
    "Q",
    "M",
    "F",
    "G",
    "S",
    "R",
    "D",
    "C",
    "P",
    "U",
    "T",
    "I",
    "X",
    "B",
    "A",
    "abort",
    "driver_data",
    "zone_plug",
    "zone_unplug",
)

#: Reasons in `Quality.unmatched`: events that found nothing they belong to.
UNMATCHED: Final = (
    "get",
    "merge",
    "split",
    "insert",
    "requeue",
    "complete",
    "issue_without_queue",
    "late_issue",
)

MAX_WINDOW: Final = 1 << 26
#: Fewer are decoded before other threads have begun.
_MANY_BYTES: Final = 1 << 26


class CaptureFile(Struct, frozen=True):
    """One file of a capture.

    Attributes
    ----------
    name : str
        Shown in errors.
    data : buffer
        Its bytes: an ``mmap``, bytes, or anything with the buffer protocol. It is held
        until the iteration ends.
    shift_ns : int
        Added to its times, 0 to 2**63 - 1.
    """

    name: str
    data: "Buffer"
    shift_ns: int = 0


class BlktraceBatches(RowStream):
    """The requests of one capture, in batches.

    Parameters
    ----------
    sources : sequence of CaptureFile
        The per-CPU files of one or more devices that share one clock, or one merged
        dump. Empty ones are fine; their order breaks ties only.
    batch_rows : int
        Rows of a batch, at least 1; the last may be shorter.
    window : int
        Rows that may wait for an older one to complete, 1 to 2**26.

    Attributes
    ----------
    sizes : SliceSizes or None
        How it is cut where it is decoded by threads; None: a small one is not.

    Raises
    ------
    ValueError
        ``batch_rows`` or ``window`` is out of range.

    Notes
    -----
    Each iteration reads the sources from the start. It yields ``pyarrow.RecordBatch``
    with `TRACE_SCHEMA`, ordered by issue (else queue) time, and raises `TraceError` if
    a source is not blktrace data or the sources mix versions. After it has ended
    `summary` tells what was read.
    """

    def __init__(
        self,
        sources: Sequence[CaptureFile],
        *,
        batch_rows: int = 1 << 16,
        window: int = 1 << 20,
    ) -> None:
        if batch_rows < 1:
            raise ValueError(f"batch_rows: {batch_rows} is below 1")
        if not 1 <= window <= MAX_WINDOW:
            raise ValueError(f"window: {window} is not in 1..{MAX_WINDOW}")
        self.sizes: SliceSizes | None = None
        self._threads = 1
        self._batch_rows = batch_rows
        self._window = window
        self._decoder: Decoder | None = None
        self._reader: SliceReader | None = None
        self._n_rows = 0
        self._read_from(sources)

    def _read_from(self, sources: Sequence[CaptureFile]) -> None:
        """Take the sources of the next iteration."""
        self._sources = [
            (source.name, source.data, source.shift_ns) for source in sources
        ]
        self._bytes_total = sum(memoryview(data).nbytes for _, data, _ in self._sources)

    @property
    def bytes_total(self) -> int:
        """Bytes of all sources."""
        return self._bytes_total

    @property
    def bytes_read(self) -> int:
        """Bytes read so far in the current or last iteration."""
        return 0 if self._decoder is None else self._decoder.bytes_read

    @property
    def interleaved(self) -> bool:
        """Whether a source read so far holds several CPUs' records out of order."""
        return self._decoder is not None and self._decoder.interleaved

    @property
    def n_ids(self) -> tuple[int, int]:
        """Devices and cgroups in the rows so far."""
        return (0, 0) if self._decoder is None else self._decoder.n_ids

    def use_threads(self, threads: int) -> None:
        """Decode so many slices of a large capture at once."""
        self._threads = threads

    def halt(self) -> None:
        """Have the iteration that another thread is at end soon, with an error."""
        if self._reader is not None:
            self._reader.halt()
        if self._decoder is not None:
            self._decoder.halt()

    def so_far(self) -> Summary:
        """Tell what was learned up to the last batch; between two batches only."""
        assert self._decoder is not None
        return summary_of(self._decoder, self._n_rows)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Decode from the start."""
        self._summary = None
        decoder = self._decoder = self._new_decoder()
        self._n_rows = 0
        try:
            for batch in self._decoded(decoder):
                self._n_rows += batch.num_rows
                yield batch
            self._summary = summary_of(decoder, self._n_rows)
        finally:
            self._reader = None
            decoder.close()

    def _new_decoder(self) -> Decoder:
        return Decoder(self._sources, self._window)

    def _decoded(self, decoder: Decoder) -> Iterator[pa.RecordBatch]:
        """Decode all, in slices if it is worth it."""
        if self._threads > 1 and (
            self.sizes is not None or self._bytes_total >= _MANY_BYTES
        ):
            # not imported for nothing
            from replay.trace.blktrace.slices import SliceReader, SliceSizes

            self._reader = SliceReader(
                decoder,
                self._new_decoder,
                n_sources=len(self._sources),
                batch_rows=self._batch_rows,
                threads=self._threads,
                sizes=self.sizes or SliceSizes(),
            )
            yield from self._reader.batches()
            return
        while True:
            buffers = allocate(self._batch_rows)
            n_filled, *n_null = decoder.fill(buffers, self._batch_rows)
            if n_filled == 0:
                return
            yield make_batch(buffers, n_filled, n_null)
            if n_filled < self._batch_rows:
                return


def summary_of(decoder: Decoder, n_rows: int) -> Summary:
    """Collect what the decoder learned.

    Parameters
    ----------
    decoder : Decoder
        At its end.
    n_rows : int
        Rows that it wrote.

    Returns
    -------
    Summary
    """
    start_ns, end_ns, wall_ns, wall_note_ns = decoder.clock()
    # a dump of `blkparse -d` counts its events from 0 but not this note: no relation
    if wall_ns is not None and wall_note_ns <= end_ns:
        wall_clock_ns = wall_ns - wall_note_ns + start_ns
    else:
        wall_clock_ns = None
    return Summary(
        start_ns=start_ns,
        end_ns=end_ns,
        wall_clock_ns=wall_clock_ns,
        n_rows=n_rows,
        devices=[
            Device(device=device, n_requests=n_requests)
            for device, n_requests in sorted(decoder.devices())
        ],
        cgroups=[
            Cgroup(id=id_, n_requests=n_requests, n_bios=n_bios, nbytes=nbytes)
            for id_, n_requests, n_bios, nbytes in sorted(decoder.cgroups())
        ],
        processes=_processes(decoder, start_ns, end_ns),
        messages=[
            Message(time_ns=max(time_ns - start_ns, 0), cpu=cpu, text=_text(text))
            for time_ns, cpu, text in decoder.messages()
        ],
        quality=_quality(decoder),
        layers=_layers(decoder),
        stack=[
            Layer(
                above=above,
                below=below,
                n_requests=n_requests,
                n_done=n_done,
                took_ns=took_ns,
            )
            for above, below, n_requests, n_done, took_ns in sorted(decoder.stack())
            if n_requests
        ],
    )


def _layers(decoder: Decoder) -> list[tuple[int, int]]:
    """Return which of the devices with requests lies on which other one."""
    devices = {device for device, n_requests in decoder.devices() if n_requests}
    return [pair for pair in sorted(decoder.layers()) if devices.issuperset(pair)]


def _text(raw: bytes) -> str:
    """Show bytes that a kernel or a process chose."""
    return raw.rstrip(b"\0\n").decode("utf-8", "backslashreplace")


def _processes(decoder: Decoder, start_ns: int, end_ns: int) -> list[Process]:
    """Collect every process that has a name or a request, by pid.

    A pid is signed, as in the ``pid`` column.
    """
    names: dict[int, list[ProcessName]] = {}
    for time_ns, pid, raw in sorted(decoder.process_names()):
        # before the first event, or on another clock (a dump's notes): since ever
        at_ns = time_ns - start_ns if start_ns <= time_ns <= end_ns else 0
        name = _text(raw)
        known = names.setdefault(pid - (pid >> 31 << 32), [])
        if not known or known[-1].name != name:
            known.append(ProcessName(time_ns=at_ns, name=name))
    # there may be 100,000: one call each and nothing else
    found = [
        Process(
            pid=pid,
            names=names.pop(pid) if pid in names else [],
            n_requests=n_requests,
            first_ns=first_ns,
            last_ns=last_ns,
        )
        for unsigned, n_requests, first_ns, last_ns in decoder.processes()
        for pid in (unsigned - (unsigned >> 31 << 32),)
    ]
    found += [
        Process(pid=pid, names=known, n_requests=0) for pid, known in names.items()
    ]
    found.sort(key=attrgetter("pid"))
    return found


def _quality(decoder: Decoder) -> Quality:
    """Collect the counts; every record is in ``events``, ``notes`` or ``unknown``."""
    counts = decoder.counts()
    lost: Counter[str] = Counter()
    for _, cpu, n_lost in decoder.lost():
        lost[str(cpu)] += n_lost
    notes = {
        name: counts[f"note_{name}"] for name in ("process", "timestamp", "message")
    }
    return Quality(
        records=counts["records"],
        events={
            name: n_events
            for name, n_events in zip(EVENT_NAMES, decoder.letters(), strict=True)
            if n_events
        },
        notes={name: n_notes for name, n_notes in notes.items() if n_notes},
        unknown=counts["unknown"],
        refused_bytes=counts["refused_bytes"],
        truncated_bytes=counts["truncated_bytes"],
        damage=dict(decoder.damage()),
        damaged_events=counts["damaged_events"],
        lost=dict(lost),
        out_of_order=counts["out_of_order"],
        unmatched={name: counts[name] for name in UNMATCHED if counts[name]},
        unfinished=counts["unfinished"],
        never_issued=counts["never_issued"],
        late_completions=counts["late_completions"],
        partial_completions=counts["partial_completions"],
        requeues=counts["requeues"],
        flush_sequences=counts["flush_sequences"],
        messages=notes["message"],
        names_dropped=counts["names_dropped"],
        processes_dropped=counts["processes_dropped"],
        errors={
            errno.errorcode.get(number, str(number)): n_rows
            for number, n_rows in decoder.errors().items()
        },
    )
