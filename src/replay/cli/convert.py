"""``replay convert``."""

import time
from pathlib import Path

import click

from replay.cli import options
from replay.cli.progress import message, progress_bar


@click.command
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="TRACE.arrow",
    help="The trace file to make.",
)
@options.input_format
@options.cgroups
@options.overwrite
@options.batch_rows
@options.threads
@options.quiet
def convert(
    inputs: tuple[str, ...],
    output: Path,
    format_name: str | None,
    columns: str | None,
    blkparse_format: str | None,
    cgroups: Path | None,
    overwrite: bool,
    batch_rows: int,
    threads: int,
    quiet: bool,
) -> None:
    """Make a trace file of a recording.

    INPUT is a blktrace file, the base name of a per-CPU set (dir/loop0 for
    dir/loop0.blktrace.0 and on), a directory that holds such sets, or a file of any
    format that 'replay formats' lists, compressed or not. Several inputs are merged by
    time.
    """
    from replay.report.format import count_text
    from replay.report.info import quality_lines
    from replay.trace.convert import convert as convert_trace
    from replay.trace.inputs import missing_cpus

    began = time.monotonic()
    with progress_bar("Converting", quiet=quiet) as progress:
        trace = convert_trace(
            inputs,
            output,
            cgroups=cgroups,
            overwrite=overwrite,
            batch_rows=batch_rows,
            threads=threads,
            progress=progress,
            format=options.format_options(format_name, columns, blkparse_format),
        )
    with trace:
        metadata = trace.metadata
        sources = [one.path for one in metadata.sources if one.role == "trace"]
        quality = metadata.summary.quality
        notes = metadata.summary.notes
    seconds = time.monotonic() - began
    for line in (*notes, *quality_lines(quality, missing_cpus(sources))):
        message(f"Note: {line}", quiet=quiet)
    message(
        f"{output}: {count_text(trace.n_rows, 'request')} of "
        f"{count_text(quality.records, 'record')} from "
        f"{count_text(len(sources), 'file')} in {seconds:.2f} s",
        quiet=quiet,
    )
