"""``replay curve``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.progress import message, progress_bar
from replay.cli.show import show

if TYPE_CHECKING:
    from replay.trace.file.filters import Filters
    from replay.trace.formats.options import FormatOptions


@click.command(
    epilog=options.examples(
        "curve capture -s scenario.toml",
        "curve capture --set backing.filesystem=ext4 --limits 16M..1G*2",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="TRACE...")
@options.scenario
@options.set_key
@click.option(
    "--limits",
    metavar="LIMITS",
    help="Limits to show: 64M or 32M,64M or 16M..1G*2. "
    "[default: shares of what is needed]",
)
@click.option(
    "--sample",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the pages to look at; of huge traces 0.01 will do.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Show the table of each cgroup, however many there are.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="TABLE.parquet",
    help="Write a row for each cgroup and limit.",
)
@options.report
@options.overwrite
@options.input_format
@options.filters
@options.assign
@options.cgroups
@options.json
@options.quiet
def curve(
    inputs: tuple[str, ...],
    scenario: Path | None,
    overrides: tuple[str, ...],
    limits: str | None,
    sample: float,
    every: bool,
    output: Path | None,
    report: Path | None,
    overwrite: bool,
    format: "FormatOptions",
    filters: "Filters | None",
    assign: Path | None,
    cgroups: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what every memory.max would cost each cgroup, in one pass.

    Of a file on tmpfs: where it would be stopped. Of a page cache (backing.filesystem =
    ext4): which share of its hits would be lost, and how much read again.
    """
    if overwrite and output is None and report is None:
        raise click.UsageError("--overwrite needs a file: give -o TABLE.parquet.")
    import json

    import replay
    from replay.report.curve import curve_page
    from replay.report.html.page import check_report
    from replay.sweeps.axes import parse_sizes

    if report is not None:
        check_report(report, overwrite=overwrite)
    shown: list[int] = []
    if limits is not None:
        shown = parse_sizes("--limits", limits)
    with progress_bar("Reading", quiet=quiet) as progress:
        found = replay.curve(
            inputs[0] if len(inputs) == 1 else list(inputs),
            scenario,
            limits=shown,
            sample=sample,
            overrides=overrides,
            assign=assign,
            cgroups=cgroups,
            progress=progress,
            format=format,
            filters=filters,
        )
    if output is not None:
        found.write(output, overwrite=overwrite)
    if report is not None:
        replay.write_report(found, report, overwrite=overwrite)
        message(f"wrote {report}", quiet=quiet)
    if as_json:
        told = {"tmpfs": found.tmpfs, "notes": found.notes}
        click.echo(json.dumps({**told, "limits": found.table().to_pylist()}))
    else:
        show(curve_page(found, every=every))
