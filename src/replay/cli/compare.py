"""``replay compare``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.show import show

if TYPE_CHECKING:
    from replay.results.compare import Comparison

#: Exit code when a change is found that --fail-if names.
DIFFERS = 3


@click.command(
    epilog=options.examples(
        "compare before after",
        "compare before after --fail-if 'p99>10%' --fail-if 'kills>0'",
        "compare fleet --scenario '*:root' --scenario '*:per-cgroup'",
    )
)
@click.argument(
    "outdirs",
    nargs=-1,
    required=True,
    metavar="OUTDIR...",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help="Compare scenarios of one dataset that 'replay batch' made, added up over its "
    "traces; given twice or more. A pattern ('*:root') may stand for another one of "
    "each trace.",
)
@click.option(
    "--trace",
    "traces",
    multiple=True,
    metavar="NAME",
    help="Take this trace of the dataset, or those of a pattern; may be given again. "
    "[default: all]",
)
@click.option(
    "--fail-if",
    "changes",
    multiple=True,
    metavar="CHANGE",
    help="Exit with 3 if a cgroup's measure changed so: p99>10%, kills>0, "
    "charged@/a<-1M. May be given again. docs/compare.md lists the measures.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.parquet",
    help="Write the differences as one table.",
)
@options.report
@options.overwrite
@options.json
def compare(
    outdirs: tuple[str, ...],
    scenarios: tuple[str, ...],
    traces: tuple[str, ...],
    changes: tuple[str, ...],
    output: Path | None,
    report: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show who pays more, who waits longer, who is killed in one only.

    OUTDIR is a directory written by 'replay run -o'. Each is compared with the first.
    With --scenario there is one OUTDIR, the dataset; each scenario is compared with the
    first.
    """
    _check_sides(outdirs, scenarios, traces)
    if overwrite and output is None and report is None:
        raise click.UsageError("--overwrite needs a file: give -o FILE.parquet.")
    from replay.report.compare import breach_text, passed_texts
    from replay.results.conditions import ConditionError, parse_change
    from replay.results.long import write_comparisons

    try:
        conditions = [parse_change(change) for change in changes]
    except ConditionError as error:
        raise click.UsageError(f"--fail-if {error}.") from error
    if report is not None:
        from replay.report.html.page import check_report

        check_report(report, overwrite=overwrite)
    found = _compared(outdirs, scenarios, traces)
    breaches = [comparison.breaches(conditions) for comparison in found]
    if output is not None:
        write_comparisons(found, output, overwrite=overwrite)
    if report is not None:
        _report(found, () if scenarios else outdirs, report, overwrite=overwrite)
    if as_json:
        parts = [
            comparison.to_json(failed)
            for comparison, failed in zip(found, breaches, strict=True)
        ]
        click.echo(f"[{', '.join(parts)}]")
    else:
        for i, comparison in enumerate(found):
            if i:
                click.echo()
            show(comparison)
    for comparison, failed in zip(found, breaches, strict=True):
        lines = [breach_text(breach) for breach in failed]
        for line in (*lines, *passed_texts(comparison, conditions, failed)):
            click.echo(f"{comparison.names[1]}: {line}", err=True)
    if any(breaches):
        click.get_current_context().exit(DIFFERS)
    if any(comparison.unseen(conditions) for comparison in found):
        # what was not looked at has not passed
        click.get_current_context().exit(1)


def _report(
    found: "list[Comparison]",
    outdirs: Sequence[str],
    path: Path,
    *,
    overwrite: bool,
) -> None:
    """Write a page of comparisons, with the pictures of the results themselves."""
    from replay.report.html.page import write_page
    from replay.report.html.subjects.comparison import comparison_content
    from replay.results.read import open_results

    results = {outdir: open_results(outdir) for outdir in outdirs}
    write_page(comparison_content(found, results), path, overwrite=overwrite)


def _check_sides(
    outdirs: Sequence[str], scenarios: Sequence[str], traces: Sequence[str]
) -> None:
    if not scenarios:
        if traces:
            raise click.UsageError("--trace is for a dataset: name its --scenario too.")
        if len(outdirs) < 2:
            raise click.UsageError(
                "give at least two OUTDIRs, or a dataset and two --scenario."
            )
    elif len(outdirs) > 1:
        raise click.UsageError("--scenario is for one dataset, not for several.")
    elif len(scenarios) < 2:
        raise click.UsageError("give --scenario at least twice.")


def _compared(
    outdirs: Sequence[str], scenarios: Sequence[str], traces: Sequence[str]
) -> "list[Comparison]":
    if scenarios:
        from replay.dataset.compare import compare_scenarios
        from replay.dataset.read import open_dataset

        return compare_scenarios(open_dataset(outdirs[0]), scenarios, traces=traces)
    from replay.results.compare import compare_stored

    return compare_stored([Path(outdir) for outdir in outdirs])
