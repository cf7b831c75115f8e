"""``replay compare``."""

from pathlib import Path

import click

from replay.cli import options
from replay.cli.show import show


@click.command
@click.argument(
    "outdirs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUTDIR...",
)
@options.json
def compare(outdirs: tuple[Path, ...], as_json: bool) -> None:
    """Show who pays more and who waits longer.

    OUTDIR is a directory written by 'replay run -o'. Each is compared with the first.
    """
    if len(outdirs) < 2:
        raise click.UsageError("give at least two OUTDIRs.")
    from replay.results.compare import compare_stored

    found = compare_stored(outdirs)
    if as_json:
        click.echo(f"[{', '.join(comparison.to_json() for comparison in found)}]")
        return
    for i, comparison in enumerate(found):
        if i:
            click.echo()
        show(comparison)
