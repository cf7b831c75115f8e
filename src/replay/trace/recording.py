"""A recording that was found and recognised, and is not read yet."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from replay.common.errors import TraceError
from replay.common.processors import threads_for
from replay.common.version import WRITER
from replay.trace.file.metadata import Cgroup, Metadata, Summary
from replay.trace.file.read import Progress, is_arrow
from replay.trace.file.schema import SCHEMA_VERSION
from replay.trace.formats.open import open_rows
from replay.trace.formats.options import FormatOptions
from replay.trace.inputs.find import Inputs, read_cgroup_paths, source_file
from replay.trace.inputs.spool import Spool
from replay.trace.rows import Disordered, RowStream

#: BLK_IO_TRACE_MAGIC, whose last byte is the version.
_MAGIC: Final = 0x65617400
#: Formats whose cgroups are the kernel's ids, and those whose columns may hold such.
WITH_IDS: Final = ("blktrace", "blkparse", "kernel")
NAMED_BY_IDS: Final = ("csv", "biosnoop")


class Recording(Struct, frozen=True):
    """Rows that are decoded while they are read.

    Attributes
    ----------
    path : Path
        What it is called.
    rows : RowStream
        Raises `Disordered` while it is read for the first time, if the rows have to be
        sorted.
    describe : callable
        Makes the metadata of the rows' summary.
    nbytes : int
        Of all inputs.
    progress : callable or None
        Told of bytes read and bytes in all.
    kernel : str or None
        What the recorded machine called its kernel.
    record_version : int or None
        Of blktrace's records, 7 or 8.
    """

    path: Path
    rows: RowStream
    describe: Callable[[Summary], Metadata]
    nbytes: int
    progress: Progress | None
    kernel: str | None = None
    record_version: int | None = None

    def advanced(self) -> None:
        """Tell how far it was read."""
        if self.progress is not None:
            self.progress(self.rows.bytes_read, self.nbytes)

    def write(
        self, output: str | Path, *, overwrite: bool = False, threads: int | None = None
    ) -> None:
        """Write it to a trace file; see `write_trace` and `threads_for`."""
        from replay.trace.file.write import write_trace

        n_threads = threads_for(self.nbytes, threads)
        self.rows.use_threads(n_threads)

        def write() -> None:
            write_trace(
                output,
                self.rows,
                self.describe,
                overwrite=overwrite,
                threads=n_threads,
                on_batch=self.advanced,
            )

        try:
            write()
        except Disordered:
            # nothing was written: again, with the rows sorted on disk
            self.rows.sort_on_disk()
            write()
        self.ended()

    def ended(self) -> None:
        """Tell that it was read to its end."""
        if self.progress is not None:
            self.progress(self.nbytes, self.nbytes)


def find_recording(
    found: Inputs,
    spool: Spool,
    options: FormatOptions,
    *,
    path: Path,
    batch_rows: int,
    progress: Progress | None = None,
) -> Recording:
    """Recognise what inputs hold.

    Parameters
    ----------
    found : Inputs
        None of them a trace file.
    spool : Spool
        What was put on disk for it.
    options : FormatOptions
        What the user said.
    path : Path
        What to call it.
    batch_rows : int
        Rows of a batch.
    progress : callable or None
        Told of bytes read and bytes in all.

    Returns
    -------
    Recording

    Raises
    ------
    TraceError
        There is nothing in it, or the format cannot be told.
    """
    for one in found.traces:
        if is_arrow(one):
            raise TraceError(
                f"{one}: is an Arrow file, as `replay convert` writes them: "
                "use it as it is"
            )
    files = [source_file(one, spool) for one in found.traces]
    total = sum(file.nbytes for file in files)
    if total == 0:
        raise TraceError(f"{found.traces[0]}: is empty: there is nothing to convert")
    paths: Mapping[int, str] = {}
    if found.cgroups is not None:
        paths = read_cgroup_paths(found.cgroups)
        files.append(source_file(found.cgroups, spool, role="cgroups"))

    def on_read() -> None:
        recording.advanced()

    def describe(summary: Summary) -> Metadata:
        return Metadata(
            schema_version=SCHEMA_VERSION,
            writer=WRITER,
            sources=files,
            summary=with_paths(summary, paths, spool),
            kernel=found.kernel,
            record_version=recording.record_version,
        )

    rows = open_rows(
        found.traces,
        options,
        batch_rows=batch_rows,
        on_read=on_read,
        paths_of_ids=paths,
    )
    recording = Recording(
        path,
        rows,
        describe,
        total,
        progress,
        found.kernel,
        _record_version(found.traces),
    )
    return recording


def _record_version(files: Iterable[Path]) -> int | None:
    """Tell the version of blktrace's records by their magic number.

    Parameters
    ----------
    files : iterable of Path

    Returns
    -------
    int or None
        7 or 8; None for another format, for compressed files, and where files differ.
    """
    found = set()
    for path in files:
        with path.open("rb") as file:
            magic = file.read(4)
        for version in (7, 8):
            number = _MAGIC | version
            if magic in (number.to_bytes(4, "little"), number.to_bytes(4, "big")):
                found.add(version)
    return found.pop() if len(found) == 1 else None


def with_paths(
    summary: Summary, paths: Mapping[int, str], spool: Spool | None = None
) -> Summary:
    """Give cgroups their paths, where they are known.

    Parameters
    ----------
    summary : Summary
    paths : mapping of int to str
        By the kernel's ids. Cgroups that are numbered by their names have none: one
        whose name is a number is looked up by it.
    spool : Spool or None
        What was put on disk, for the notes.

    Returns
    -------
    Summary
    """
    notes = [spool.told(note) for note in summary.notes] if spool else summary.notes
    if not paths:
        return msgspec.structs.replace(summary, notes=notes)
    # a trace file of before did not say so
    by_name = summary.cgroup_names or summary.format not in WITH_IDS

    def path_of(cgroup: Cgroup) -> str | None:
        if not by_name:
            return paths.get(cgroup.id, cgroup.path)
        name = (cgroup.path or "").removeprefix("/")
        if summary.format in NAMED_BY_IDS and name.isascii() and name.isdecimal():
            return paths.get(int(name), cgroup.path)
        return cgroup.path

    cgroups = [
        msgspec.structs.replace(cgroup, path=path_of(cgroup))
        for cgroup in summary.cgroups
    ]
    if by_name and summary.format not in NAMED_BY_IDS:
        notes = [
            *notes,
            f"The file of cgroup ids was not used: {summary.format} holds no ids.",
        ]
    return msgspec.structs.replace(summary, cgroups=cgroups, notes=notes)
