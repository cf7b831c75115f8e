"""``replay sweep``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.hints import tell_absent
from replay.cli.progress import message, progress_bar
from replay.cli.show import show

if TYPE_CHECKING:
    from replay.trace.file.filters import Filters
    from replay.trace.formats.options import FormatOptions


@click.command(
    epilog=options.examples(
        "sweep capture -s base.toml --vary /test.slice/memory.max=16M..512M*2",
        "sweep capture --vary driver.policy=root,per-cgroup -o table.parquet",
        "sweep capture --vary '/b/io.max=7:0 wbps=16M..256M*2' --keep 'p99@/b<100ms'",
        "sweep disk --vary '/b/io.max=254:0 wbps=16M..4G*2' --keep 'p99@/a<200us'",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="TRACE...")
@options.scenario
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="Values of a key of the scenario: a list (32M,64M), a range by a factor "
    "(16M..512M*1.25) or a step (16M..64M+8M). Given again: every combination.",
)
@click.option(
    "--zip", "in_step", is_flag=True, help="Take the values of several keys in step."
)
@click.option(
    "--keep",
    multiple=True,
    metavar="CONDITION",
    help="What to keep (kills=0, p99<10ms, p99@/a<1ms): finds by bisection from which "
    "value on. [default: kills=0 where memory.max is varied]",
)
@click.option(
    "--along", metavar="KEY", help="The key to find it along, if several have numbers."
)
@options.set_key
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="TABLE.parquet",
    help="Write the measures of every point, cgroup and operation.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw it: .png or .svg (needs cgroup-replay[plots]).",
)
@options.report
@options.overwrite
@options.input_format
@options.filters
@options.assign
@options.cgroups
@options.jobs
@options.json
@options.quiet
def sweep(
    inputs: tuple[str, ...],
    scenario: Path | None,
    vary: tuple[str, ...],
    in_step: bool,
    keep: tuple[str, ...],
    along: str | None,
    overrides: tuple[str, ...],
    output: Path | None,
    plot: Path | None,
    report: Path | None,
    overwrite: bool,
    format: "FormatOptions",
    filters: "Filters | None",
    assign: Path | None,
    cgroups: Path | None,
    jobs: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Replay a trace under many values of a scenario's keys.

    TRACE is a trace file or anything that 'replay convert' reads. The answer is where
    the outcome changes: the smallest memory.max without a kill, the largest io.max of
    a neighbour under which a percentile is kept.
    """
    if overwrite and output is None and plot is None and report is None:
        raise click.UsageError("--overwrite needs an output: give -o or --report.")
    import replay
    from replay.common.deprecated import deprecated
    from replay.common.output import check_target, place_of
    from replay.report.html.page import check_report, write_page
    from replay.report.html.static import check_plot, write_chart
    from replay.report.html.subjects.sweep import sweep_content
    from replay.report.sweep import point_notes
    from replay.results.conditions import ConditionError, parse_condition

    try:
        for condition in keep:
            parse_condition(condition)
    except ConditionError as error:
        raise click.UsageError(f"--keep {error}.") from error

    # refused before the work is done
    if plot is not None:
        check_plot(plot)
        if plot.suffix.lower() == ".html":
            deprecated(
                "sweep --plot FILE.html",
                since="0.2",
                until="0.4",
                instead="--report FILE.html",
            )
    if report is not None:
        check_report(report, overwrite=overwrite)
    for target in (output, plot):
        if target is not None:
            check_target(place_of(target), target, overwrite=overwrite)
    with progress_bar("Replaying", quiet=quiet) as progress:
        found = replay.sweep(
            inputs[0] if len(inputs) == 1 else list(inputs),
            scenario,
            vary=vary,
            keep=keep,
            along=along,
            in_step=in_step,
            overrides=overrides,
            assign=assign,
            cgroups=cgroups,
            jobs=jobs,
            progress=progress,
            format=format,
            filters=filters,
        )
    tell_absent(point_notes(found))
    if output is not None:
        found.write(output, overwrite=overwrite)
    if plot is not None:
        content = sweep_content(found)
        if plot.suffix.lower() == ".html":
            write_page(content, plot, overwrite=overwrite)
        else:
            write_chart(content.pictures, plot, overwrite=overwrite)
    if report is not None:
        write_page(sweep_content(found), report, overwrite=overwrite)
        message(f"wrote {report}", quiet=quiet)
    if as_json:
        click.echo(found.to_json())
    else:
        show(found)
    n_refused = sum(point.error is not None for point in found.points)
    if n_refused == len(found.points):
        message("every point was refused", quiet=quiet)
        click.get_current_context().exit(1)
