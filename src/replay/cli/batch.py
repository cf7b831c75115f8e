"""``replay batch``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.progress import message, progress_bar

if TYPE_CHECKING:
    from replay.trace.file.filters import Filters
    from replay.trace.formats.options import FormatOptions


@click.command(
    epilog=options.examples(
        "batch 'fleet/*/capture' -s today.toml -s tomorrow.toml -o tables",
        "batch --pairs pairs.csv --policy root --policy per-cgroup -o tables",
    )
)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option(
    "-s",
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="SCENARIO.toml",
    help="Each INPUT is replayed under each of these; may be given again. "
    "[default: the scenario that says nothing]",
)
@click.option(
    "--pairs",
    multiple=True,
    metavar="PAIRS.csv",
    help="Pairs, one a line, under the columns 'trace' and 'scenario'; names are "
    "taken from the file's place.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DATASET",
    help="Directory or address (s3://...) of the dataset to make or to add to.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="POLICY",
    help="Replay each pair under each of these driver.policy; may be given again. "
    "The scenario is then called SCENARIO:POLICY.",
)
@options.set_key
@options.input_format
@options.filters
@options.assign
@options.cgroups
@click.option(
    "--interval",
    metavar="TIME",
    help="Make a timeline of each pair, as 'replay run' does (1s, 100ms, auto).",
)
@click.option(
    "--requests",
    is_flag=True,
    help="Keep a row for every request of each pair; memory grows with them.",
)
@options.jobs
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Let the Dask cluster of this scheduler do it, such as tcp://10.0.0.1:8786.",
)
@options.report
@options.overwrite
@options.json
@options.quiet
def batch(
    inputs: tuple[str, ...],
    scenarios: tuple[str, ...],
    pairs: tuple[str, ...],
    output: str,
    policies: tuple[str, ...],
    overrides: tuple[str, ...],
    format: "FormatOptions",
    filters: "Filters | None",
    assign: Path | None,
    cgroups: str | None,
    interval: str | None,
    requests: bool,
    jobs: int | None,
    cluster: str | None,
    report: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Replay every trace under every scenario, into one dataset.

    INPUT is what 'replay run' takes (but standard input), a pattern
    ('fleet/*/capture'), a directory of recordings or trace files at any depth, or an
    address of one of these on another file system (s3://...).

    The dataset holds one directory of Parquet files a table, in which 'trace' and
    'scenario' are columns. What it holds already is not done again: a batch that was
    interrupted, or that gets more inputs, goes on where it was. Exit code 1: a pair
    failed.
    """
    if not inputs and not pairs:
        raise click.UsageError("name an INPUT, or pairs by --pairs PAIRS.csv.")
    if scenarios and not inputs:
        raise click.UsageError("-s is for INPUTs; the pairs name their scenarios.")
    if jobs is not None and cluster is not None:
        raise click.UsageError("--jobs is for this machine; a cluster has its workers.")

    if overwrite and report is None:
        raise click.UsageError("--overwrite needs a file: give --report FILE.html.")

    import replay
    from replay.report.many.fleet import fleet_text

    if report is not None:
        from replay.report.html.page import check_report

        check_report(report, overwrite=overwrite)
    try:
        with progress_bar("Replaying", quiet=quiet) as progress:
            done = replay.batch(
                inputs,
                scenarios,
                output=output,
                pairs=pairs,
                policies=policies,
                overrides=overrides,
                assign=assign,
                cgroups=cgroups,
                format=format,
                filters=filters,
                interval=interval,
                requests=requests,
                jobs=jobs,
                cluster=cluster,
                progress=progress,
            )
    except KeyboardInterrupt:
        message(
            "Interrupted: what is finished is kept, the same command goes on from "
            "there."
        )
        sys.exit(130)
    if as_json:
        click.echo(done.to_json())
    if not as_json or report is not None:
        # opened once: what is read of it is checked once
        made = replay.open_dataset(output)
        if not as_json:
            click.echo(done.summary(changes=fleet_text(made)))
        if report is not None:
            replay.write_report(made, report, overwrite=overwrite)
            message(f"wrote {report}", quiet=quiet)
    message(f"took {done.seconds:.2f} s", quiet=quiet)
    if done.failed:
        sys.exit(1)
