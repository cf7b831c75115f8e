"""``replay run``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.hints import tell_absent, tell_rest_of_set
from replay.cli.lazy_imports import importing_meanwhile
from replay.cli.progress import message, progress_bar
from replay.cli.show import show

if TYPE_CHECKING:
    from replay.trace.file.filters import Filters
    from replay.trace.formats.options import FormatOptions

#: What writes tables and summary.
_AT_THE_END = ("pyarrow.parquet", "replay.report.text", "replay.report.summary")


@click.command(
    epilog=options.examples(
        "run capture",
        "run capture -s scenario.toml --set driver.policy=root -o tables",
        "run capture --set /test.slice/memory.max=64M",
        "run t.csv --columns time=ts:us,offset=at:B,size=n:B,op=rw,cgroup=who",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@options.scenario
@options.set_key
@options.input_format
@options.filters
@options.assign
@options.cgroups
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUTDIR",
    help="Directory to make for the tables. [default: only the summary]",
)
@options.overwrite
@click.option(
    "--requests",
    is_flag=True,
    help="Keep a row for every request, in OUTDIR.",
)
@click.option(
    "--interval",
    metavar="TIME",
    help="Make a timeline: who paid, held and waited in each second (1s, 100ms, auto).",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Make a page to look at, too; with a timeline (--interval auto) if none is "
    "asked for.",
)
@options.batch_rows
@options.threads
@options.json
@options.quiet
def run(
    inputs: tuple[str, ...],
    scenario: Path | None,
    overrides: tuple[str, ...],
    format: "FormatOptions",
    filters: "Filters | None",
    assign: Path | None,
    cgroups: Path | None,
    output: Path | None,
    overwrite: bool,
    requests: bool,
    interval: str | None,
    report: Path | None,
    batch_rows: int,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Replay a trace under a scenario.

    INPUT is a trace file or anything that 'replay convert' reads: a blktrace file, the
    base name of a per-CPU set, a directory, '-' for standard input, or a file of
    another format. Without a scenario the driver is the one of Linux 5.14 (a worker and
    a charge per cgroup) and there are no limits.
    """
    if output is None and (requests or (overwrite and report is None)):
        option = "--requests" if requests else "--overwrite"
        raise click.UsageError(f"{option} needs an OUTDIR: give -o OUTDIR.")

    import replay
    from replay.common.text import count_text

    if report is not None:
        from replay.report.html.page import check_report

        check_report(report, overwrite=overwrite)
        interval = interval or "auto"

    with (
        progress_bar("Replaying", quiet=quiet) as bar,
        importing_meanwhile(bar, *_AT_THE_END, threads=threads) as progress,
    ):
        result = replay.run(
            inputs[0] if len(inputs) == 1 else list(inputs),
            scenario,
            overrides=overrides,
            assign=assign,
            cgroups=cgroups,
            output=output,
            overwrite=overwrite,
            requests=requests,
            interval=interval,
            batch_rows=batch_rows,
            threads=threads,
            progress=progress,
            format=format,
            filters=filters,
        )
    tell_rest_of_set(inputs, quiet=quiet)
    tell_absent(result.info["notes"])
    if as_json:
        click.echo(result.to_json())
    else:
        show(result)
    if report is not None:
        replay.write_report({inputs[0]: result}, report, overwrite=overwrite)
        message(f"wrote {report}", quiet=quiet)
    message(
        f"replayed {count_text(result.info['counts']['requests'], 'request')} in "
        f"{result.info['timings']['total_s']:.2f} s, "
        f"{result.info['rate']['requests_per_s']:,.0f} requests/s",
        quiet=quiet,
    )
