"""``replay compare``."""

from pathlib import Path

import click

from replay.cli import options
from replay.cli.show import show

#: Exit code when a change is found that --fail-if names.
DIFFERS = 3


@click.command
@click.argument(
    "outdirs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUTDIR...",
)
@click.option(
    "--fail-if",
    "changes",
    multiple=True,
    metavar="CHANGE",
    help="Exit with 3 if a cgroup's measure changed so: p99>10%, kills>0, "
    "charged_bytes@/a<-1M. May be given again. docs/compare.md lists the measures.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.parquet",
    help="Write the differences as one table.",
)
@options.overwrite
@options.json
def compare(
    outdirs: tuple[Path, ...],
    changes: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show who pays more, who waits longer, who is killed in one only.

    OUTDIR is a directory written by 'replay run -o'. Each is compared with the first.
    """
    if len(outdirs) < 2:
        raise click.UsageError("give at least two OUTDIRs.")
    if overwrite and output is None:
        raise click.UsageError("--overwrite needs a file: give -o FILE.parquet.")
    from replay.report.compare import breach_text
    from replay.results.compare import compare_stored
    from replay.results.conditions import ConditionError, parse_change
    from replay.results.long import write_comparisons

    try:
        conditions = [parse_change(change) for change in changes]
    except ConditionError as error:
        raise click.UsageError(f"--fail-if {error}.") from error
    found = compare_stored(outdirs)
    breaches = [comparison.breaches(conditions) for comparison in found]
    if output is not None:
        write_comparisons(found, output, overwrite=overwrite)
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
        for breach in failed:
            click.echo(f"{comparison.names[1]}: {breach_text(breach)}", err=True)
    if any(breaches):
        click.get_current_context().exit(DIFFERS)
