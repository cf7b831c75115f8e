"""``replay convert``."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.progress import message, progress_bar

if TYPE_CHECKING:
    from replay.trace.file.filters import Filters
    from replay.trace.file.metadata import Metadata
    from replay.trace.file.read import Progress
    from replay.trace.formats.options import FormatOptions


@click.command(
    epilog=options.examples(
        "convert capture -o trace.arrow",
        "convert trace.arrow -o writes.parquet --to parquet --op write",
        "convert log.txt.gz --format fio-iolog -o trace.arrow",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="TRACE.arrow",
    help="The file to make.",
)
@click.option(
    "--to",
    type=click.Choice(["arrow", "parquet"]),
    default="arrow",
    show_default=True,
    help="arrow: the trace file that replay reads; parquet: names, for other programs.",
)
@click.option(
    "--events",
    is_flag=True,
    help="Every record of blktrace as a row, not the requests; for other programs.",
)
@options.input_format
@options.filters
@options.cgroups
@options.alone
@options.overwrite
@options.batch_rows
@options.threads
@options.quiet
def convert(
    inputs: tuple[str, ...],
    output: Path,
    to: str,
    events: bool,
    format: "FormatOptions",
    filters: "Filters | None",
    cgroups: Path | None,
    alone: Path | None,
    overwrite: bool,
    batch_rows: int,
    threads: int | None,
    quiet: bool,
) -> None:
    """Make a trace file of a recording.

    INPUT is a blktrace file, the base name of a per-CPU set (dir/loop0 for
    dir/loop0.blktrace.0 and on), a directory that holds such sets, '-' for standard
    input (blktrace -d DEVICE -o - | replay convert - -o TRACE.arrow), an archive (tar,
    zip), or a file of any format that 'replay formats' lists, compressed or not.
    Several inputs are merged by time. With filters, or for --to parquet, INPUT may be a
    trace file. With --alone the requests of each
    cgroup that both recordings have are those of the other one.
    """
    import replay

    if events and (filters or cgroups is not None or format.name is not None):
        raise click.UsageError("--events takes blktrace's records, and all of them.")
    if alone is not None and (events or to != "arrow"):
        raise click.UsageError("--alone is for a trace file: leave --to and --events.")
    with _told(output, quiet=quiet) as (progress, tell):
        if events:
            tell += [
                replay.convert_events(
                    inputs, output, to=to, overwrite=overwrite, progress=progress
                )
            ]
        elif to == "parquet":
            from replay.common.output import check_target, place_of

            check_target(place_of(output), output, overwrite=overwrite)
            with replay.open_or_convert(
                inputs,
                cgroups=cgroups,
                threads=threads,
                progress=progress,
                format=format,
                filters=filters,
            ) as trace:
                replay.write_parquet(
                    trace, output, overwrite=overwrite, progress=progress
                )
                tell += [trace.metadata]
        else:
            with replay.convert(
                inputs,
                output,
                cgroups=cgroups,
                overwrite=overwrite,
                batch_rows=batch_rows,
                threads=threads,
                progress=progress,
                format=format,
                filters=filters,
                alone=alone,
            ) as trace:
                tell += [trace.metadata]


@contextmanager
def _told(
    output: Path, *, quiet: bool
) -> "Iterator[tuple[Progress | None, list[Metadata]]]":
    """Show progress, then what was read; the caller puts the metadata in the list."""
    from replay.common.text import count_text
    from replay.report.quality import quality_lines

    began = time.monotonic()
    made: list[Metadata] = []
    with progress_bar("Converting", quiet=quiet) as progress:
        yield progress, made
    seconds = time.monotonic() - began
    summary = made[0].summary
    sources = [one.path for one in made[0].sources if one.role == "trace"]
    for line in (
        *summary.notes,
        *quality_lines(summary.quality, sources),
    ):
        message(f"Note: {line}", quiet=quiet)
    n_records = summary.quality.records
    rows = count_text(summary.n_rows, "request")
    if summary.n_rows == n_records:
        rows = count_text(summary.n_rows, "row")
    message(
        f"{output}: {rows} of {count_text(n_records, 'record')} from "
        f"{count_text(len(sources), 'file')} in {seconds:.2f} s",
        quiet=quiet,
    )
