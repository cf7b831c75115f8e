"""Make a trace file of whatever was recorded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from replay.common.errors import OutputError
from replay.common.output import check_target, place_of
from replay.common.temporary import temporary_directory
from replay.trace.file.metadata import Metadata, Summary
from replay.trace.file.read import Progress, Trace, is_arrow, open_trace
from replay.trace.formats.options import FormatOptions
from replay.trace.inputs.find import opened_inputs, read_cgroup_paths
from replay.trace.inputs.spool import is_stdin
from replay.trace.recording import Recording, find_recording, with_paths

if TYPE_CHECKING:
    from replay.trace.file.filters import Filters

BATCH_ROWS = 1 << 16


def convert(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    cgroups: str | Path | None = None,
    overwrite: bool = False,
    batch_rows: int = BATCH_ROWS,
    threads: int | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
    filters: "Filters | None" = None,
    alone: str | Path | None = None,
) -> Trace:
    """Write a trace file of what the inputs name.

    Parameters
    ----------
    inputs : path or sequence of paths
        Each a file, a base name (``dir/loop0``), a directory, an archive (tar, zip) or
        ``-`` for standard input; merged by time. Files may be compressed (gzip, bzip2,
        zstd, xz). With filters one trace file will do.
    output : str or Path
        The trace file; it appears whole or not at all.
    cgroups : path or None
        File of "id path" lines; without it the file ``ids`` of an input directory is
        taken, if there is one.
    overwrite : bool
        Whether an existing output may be replaced.
    batch_rows : int
        Rows of a record batch. The rows are the same whatever it is.
    threads : int or None
        With 2 or more as many decode, and another one writes meanwhile. None: as many
        as there are processors, 8 at most, and 1 for fewer than 16 MiB. The rows are
        the same.
    progress : callable or None
        Told of bytes read and bytes in all.
    format : str, FormatOptions or None
        The inputs' format by name, with what else it must be told; None is found by
        content where that is safe.
    filters : Filters or None
        Which requests to keep. The recording is converted as a whole first, into a
        temporary file: what a filter names is known only at its end.
    alone : path or None
        Another recording, in which one of the cgroups ran alone: what it asked for
        there stands for its requests here. Both are held in memory.

    Returns
    -------
    Trace
        The new file, opened.

    Raises
    ------
    TraceError
        An input does not exist, or cannot be read as a trace.
    OutputError
        The output exists already, is one of the inputs, or cannot be written.
    """
    if batch_rows < 1 or (threads is not None and threads < 1):
        raise ValueError("batch_rows and threads must be positive")
    target = place_of(output)
    check_target(target, output, overwrite=overwrite)
    if filters or alone is not None:
        with open_or_convert(
            inputs,
            cgroups=cgroups,
            threads=threads,
            progress=progress,
            format=format,
            # filters apply to this recording, not to the other one
            filters=filters if alone is not None else None,
        ) as whole:
            others = [] if alone is None else [Path(alone).resolve()]
            if target in (whole.path.resolve(), *others):
                raise OutputError(f"{output}: is the input: name another output")
            if alone is not None:
                _write_replaced(whole, alone, output, overwrite, progress, format)
            else:
                assert filters
                write_filtered(whole, filters, output, overwrite, progress)
        return open_trace(output)
    with opened_inputs(inputs, cgroups) as (found, spool):
        if any(target == path.resolve() for path in found.traces):
            raise OutputError(f"{output}: is one of the inputs: name another output")
        recording = find_recording(
            found,
            spool,
            format_options(format),
            path=found.traces[0],
            batch_rows=batch_rows,
            progress=progress,
        )
        recording.write(output, overwrite=overwrite, threads=threads)
    return open_trace(output)


def open_or_convert(
    inputs: str | Path | Sequence[str | Path],
    *,
    cgroups: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
    filters: "Filters | None" = None,
) -> Trace:
    """Open a trace file, or make one for the time being of what `convert` reads.

    Parameters
    ----------
    inputs : path or sequence of paths
        One trace file, or inputs of `convert`.
    cgroups : path or None
        File of "id path" lines; its paths replace those in the trace file.
    threads : int or None
        As for `convert`.
    progress : callable or None
        Told of bytes read and bytes in all, if anything is converted.
    format : str, FormatOptions or None
        The inputs' format by name, with what else it must be told; None is found by
        content where that is safe.
    filters : Filters or None
        Which requests to keep; a trace file is copied without the others.

    Returns
    -------
    Trace
        What was converted has no name in any directory: it is gone when it is closed,
        or when the program ends, however it ends.

    Raises
    ------
    TraceError
        An input does not exist, or cannot be read as a trace.
    OutputError
        The temporary file cannot be written.
    """
    whole = _open_whole(inputs, cgroups, threads, progress, format)
    if not filters:
        return whole
    with whole, temporary_directory() as directory:
        output = directory.path / "filtered.arrow"
        write_filtered(whole, filters, output, False, progress)
        trace = open_trace(output)
        trace.path = whole.path
    return trace


@contextmanager
def open_source(
    inputs: str | Path | Sequence[str | Path],
    *,
    cgroups: str | Path | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
) -> Iterator[Trace | Recording]:
    """Open a trace file, or find a recording without reading it.

    Parameters
    ----------
    inputs, cgroups, progress, format
        As for `open_or_convert`.

    Yields
    ------
    Trace or Recording
        The trace is the caller's to close.

    Raises
    ------
    TraceError
        An input does not exist, or its format cannot be told.
    """
    names = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if len(names) == 1 and is_arrow(names[0]):
        yield _named(open_trace(names[0]), cgroups)
        return
    with opened_inputs(names, cgroups) as (found, spool):
        first = found.traces[0]
        if len(found.traces) == 1 and is_arrow(first):
            # a trace file that came through a pipe
            trace = _named(open_trace(first), cgroups)
            trace.path = Path(spool.shown(first))
            yield trace
            return
        yield find_recording(
            found,
            spool,
            format_options(format),
            path=Path(spool.shown(first) if is_stdin(names[0]) else names[0]),
            batch_rows=BATCH_ROWS,
            progress=progress,
        )


def _open_whole(
    inputs: str | Path | Sequence[str | Path],
    cgroups: str | Path | None,
    threads: int | None,
    progress: Progress | None,
    format: str | FormatOptions | None,
) -> Trace:
    with open_source(
        inputs, cgroups=cgroups, progress=progress, format=format
    ) as source:
        if isinstance(source, Trace):
            return source
        with temporary_directory() as directory:
            output = directory.path / "trace.arrow"
            try:
                source.write(output, threads=threads)
            except OutputError as error:
                raise OutputError(
                    f"{error} (TMPDIR names another directory)"
                ) from error
            trace = open_trace(output)
        trace.path = source.path
        return trace


def _named(trace: Trace, cgroups: str | Path | None) -> Trace:
    """Put the paths of a file of ids in place of those in a trace file."""
    if cgroups is not None:
        paths = read_cgroup_paths(cgroups)
        summary = with_paths(trace.metadata.summary, paths)
        trace.metadata = msgspec.structs.replace(trace.metadata, summary=summary)
    return trace


def write_filtered(
    whole: Trace,
    filters: "Filters",
    output: str | Path,
    overwrite: bool,
    progress: Progress | None,
) -> None:
    """Write what passes filters to a trace file.

    Parameters
    ----------
    whole : Trace
    filters : Filters
    output : path
    overwrite : bool
    progress : callable or None
    """
    from replay.trace.file.filtered import FilteredRows
    from replay.trace.file.write import write_trace

    rows = FilteredRows(whole, filters)

    def describe(summary: Summary) -> Metadata:
        return msgspec.structs.replace(whole.metadata, summary=summary)

    def on_batch() -> None:
        if progress is not None:
            progress(rows.n_done, whole.n_rows)

    write_trace(output, rows, describe, overwrite=overwrite, on_batch=on_batch)


def _write_replaced(
    whole: Trace,
    alone: str | Path,
    output: str | Path,
    overwrite: bool,
    progress: Progress | None,
    format: str | FormatOptions | None,
) -> None:
    """Write a trace in which a cgroup asks for what it asked for when it ran alone."""
    from replay.trace.file.replaced import Replaced, shared_cgroups
    from replay.trace.file.write import write_trace

    with open_or_convert(alone, progress=progress, format=format) as other:
        rows = Replaced(whole, other, shared_cgroups(whole, other))
        sources = [*whole.metadata.sources, *other.metadata.sources]

        def describe(summary: Summary) -> Metadata:
            return msgspec.structs.replace(
                whole.metadata, summary=summary, sources=sources
            )

        write_trace(output, rows, describe, overwrite=overwrite)


def format_options(format: str | FormatOptions | None) -> FormatOptions:
    """Let a format's name stand for options that say nothing else."""
    return format if isinstance(format, FormatOptions) else FormatOptions(name=format)
