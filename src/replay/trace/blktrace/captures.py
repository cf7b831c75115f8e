"""Blktrace captures, brought to one clock and into order before they are decoded.

A capture is a per-CPU set, a dump or a stream. Its times are of the machine's monotonic
clock, which begins anew with every boot. A timestamp note relates it to the wall clock:
where the relation of two captures differs by more than `SAME_BOOT_NS` they are of two
boots (or the wall clock was set in between), and the later one is shifted.
"""

import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import pyarrow as pa
from msgspec import Struct

from replay.common.errors import TraceError
from replay.common.temporary import temporary_file
from replay.common.text import path_text
from replay.trace.blktrace._decoder import Decoder
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile, summary_of
from replay.trace.file.metadata import Summary
from replay.trace.file.per_cpu import capture_name
from replay.trace.inputs.find import MappedFile, map_file
from replay.trace.inputs.unpack import Unpacked
from replay.trace.rows import Disordered

if TYPE_CHECKING:
    from typing_extensions import Buffer

COPY_BYTES: Final = 1 << 20
#: A wall clock that is kept by NTP drifts less against the monotonic one.
SAME_BOOT_NS: Final = 1_000_000_000

T = TypeVar("T")


class _Capture(Struct):
    name: str
    indices: list[int]
    #: Wall clock minus the capture's own, ns.
    offset_ns: int | None = None


class CaptureBatches(BlktraceBatches):
    """The requests of captures of one machine, in batches.

    Parameters
    ----------
    paths : sequence of Path
        Their files; each may be compressed.
    batch_rows : int
        Rows of a batch.

    Raises
    ------
    TraceError
        The captures cannot be brought to one clock, or are of two machines.

    Notes
    -----
    As `BlktraceBatches`; but an iteration raises `Disordered` if a file holds several
    CPUs' records as ``blktrace -o -`` writes them. Then call `sort_on_disk` and iterate
    again.
    """

    def __init__(self, paths: Sequence[Path], *, batch_rows: int) -> None:
        self._files = [
            CaptureFile(name=path_text(path), data=bytes_of(path)) for path in paths
        ]
        self._notes: list[str] = []
        self._refused = self._truncated = 0
        self._split = False
        if len(self._files) > 1:
            self._files = self._on_one_clock(self._files)
        super().__init__(self._files, batch_rows=batch_rows)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Decode from the start."""
        for batch in super().__iter__():
            self._check_whole()
            if self.interleaved and not self._split:
                raise Disordered
            yield batch
        self._check_whole()
        if self.interleaved and not self._split:
            raise Disordered

    def events(
        self, take: Callable[[Callable[[list[pa.Buffer], int], int]], T | None]
    ) -> Iterator[T]:
        """Go through the records themselves instead.

        Parameters
        ----------
        take : callable
            Given ``Decoder.fill_events`` makes one batch with it; None at the end.

        Yields
        ------
        What ``take`` returns. Raises as the iteration over requests does.
        """
        self._summary = None
        decoder = self._decoder = Decoder(self._sources, 1)
        try:
            while (batch := take(decoder.fill_events)) is not None:
                self._check_whole()
                if self.interleaved and not self._split:
                    raise Disordered
                yield batch
            self._check_whole()
            self._summary = summary_of(decoder, decoder.counts()["records"])
        finally:
            decoder.close()

    def _check_whole(self) -> None:
        """Refuse a file that was cut short while it was read."""
        for file in self._files:
            if isinstance(file.data, MappedFile) and not file.data.is_whole:
                raise TraceError(
                    f"{file.name}: was cut short while it was read: let whoever writes "
                    "it end, and begin again"
                )

    @property
    def summary(self) -> Summary:
        """The facts learned from the records; known when an iteration has ended."""
        summary = super().summary
        quality = msgspec.structs.replace(
            summary.quality,
            refused_bytes=summary.quality.refused_bytes + self._refused,
            truncated_bytes=summary.quality.truncated_bytes + self._truncated,
        )
        return msgspec.structs.replace(
            summary, quality=quality, notes=[*summary.notes, *self._notes]
        )

    def sort_on_disk(self) -> None:
        """Take interleaved sources apart, in temporary files without a name."""
        self._split = True
        self._refused = self._truncated = 0
        parts: list[CaptureFile] = []
        for file in self._files:
            parts += self._parts(file)
        self._read_from(parts)

    def _parts(self, file: CaptureFile) -> list[CaptureFile]:
        """Split one source into one for each device and CPU."""
        if not memoryview(file.data).nbytes:
            return [file]
        from replay.trace.blktrace._scan import Scan

        scan = Scan(file.data)
        parts = scan.parts()
        self._check_whole()
        if len(parts) < 2:
            return [file]
        places = [0] * len(parts)
        end = 0
        ordered = sorted(range(len(parts)), key=lambda index: parts[index][:2])
        for index in ordered:
            places[index] = end
            end += parts[index][2]
        with temporary_file() as plain:
            plain.truncate(end)
            whole = mmap.mmap(plain.fileno(), end)
        refused, truncated = scan.split(whole, places)
        self._refused += refused
        self._truncated += truncated
        view = memoryview(whole)
        return [
            CaptureFile(
                name=file.name,
                data=view[places[index] : places[index] + parts[index][2]],
                shift_ns=file.shift_ns,
            )
            for index in ordered
        ]

    def _on_one_clock(self, files: Sequence[CaptureFile]) -> list[CaptureFile]:
        """Shift the captures of later boots."""
        captures: dict[str, _Capture] = {}
        for index, file in enumerate(files):
            name = capture_name(Path(file.name))
            captures.setdefault(name, _Capture(name, [])).indices.append(index)
        if len(captures) < 2:
            return list(files)
        for capture in captures.values():
            capture.offset_ns = _offset_of(
                capture.name, [files[index].data for index in capture.indices]
            )
        known = [
            one.offset_ns for one in captures.values() if one.offset_ns is not None
        ]
        base = min(known, default=0)
        shifted = list(files)
        for capture in captures.values():
            if capture.offset_ns is None:
                self._notes.append(
                    f"{capture.name}: does not say what the wall clock was: taken to be"
                    " of the same boot as the other captures."
                )
                continue
            shift_ns = capture.offset_ns - base
            if shift_ns <= SAME_BOOT_NS:
                continue
            self._notes.append(
                f"{capture.name}: was recorded after another boot, or after the wall"
                f" clock was set: shifted by {shift_ns / 1e9:,.3f} s, so that the wall"
                " clocks agree."
            )
            for index in capture.indices:
                file = files[index]
                shifted[index] = CaptureFile(file.name, file.data, shift_ns)
        from replay.trace.blktrace.machines import one_machine

        self._notes += one_machine(
            {
                capture.name: [shifted[index] for index in capture.indices]
                for capture in captures.values()
            }
        )
        return shifted


def _offset_of(name: str, datas: "Sequence[Buffer]") -> int | None:
    """Find the wall clock minus the capture's, by its first timestamp note."""
    from replay.trace.blktrace._scan import Scan

    clocks = [Scan(data).clock() for data in datas if memoryview(data).nbytes]
    first = min((one[0] for one in clocks if one[0] is not None), default=None)
    if first == 0:
        raise TraceError(
            f"{name}: its times count from 0, as `blkparse -d` writes them, so it"
            " cannot be merged with others: give the files that blktrace wrote"
        )
    notes = [(one[1], one[2]) for one in clocks if one[1] is not None]
    if not notes:
        return None
    note_ns, wall_ns = min(notes)
    return wall_ns - note_ns


def bytes_of(path: Path) -> "Buffer":
    """Map a file; what is compressed, from a temporary file without a name.

    Parameters
    ----------
    path : Path
        A regular file.

    Returns
    -------
    mmap or bytes
        Read-only.

    Raises
    ------
    TraceError
        The file cannot be read, or is damaged, or a bomb.
    """
    with Unpacked(path) as file:
        if file.codec is None:
            return map_file(path)
        with temporary_file() as plain:
            while part := file.read(COPY_BYTES):
                plain.write(part)
            plain.flush()
            if plain.tell() == 0:
                return b""
            return mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ)
