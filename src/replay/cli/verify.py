"""``replay verify``."""

import sys
from pathlib import Path

import click

from replay.cli import options

#: Exit code where a number is further off than it may be.
BEYOND = 3


@click.command(
    epilog=options.examples(
        "verify capture",
        "verify capture --within 0.01 --json > check.json",
    )
)
@click.argument("capture", type=click.Path(path_type=Path), metavar="CAPTURE")
@options.scenario
@options.set_key
@click.option(
    "--within",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="How far off a number may be, as a part of what was counted.",
)
@options.json
def verify(
    capture: Path,
    scenario: Path | None,
    overrides: tuple[str, ...],
    within: float,
    as_json: bool,
) -> None:
    """Hold a replay of a recording against what the kernel counted there.

    CAPTURE is a directory as 'replay record' makes it, or an archive of one, with the
    counters that it saved before and after: io.stat (blkio's files of cgroup v1),
    memory.stat, memory.events.
    The exit code is 3 if a number is further off than --within. The JSON is small: it
    can be attached to a report.
    """
    import msgspec

    from replay.report.verify import check_text
    from replay.verify.check import verify as check

    found = check(capture, scenario, overrides=overrides, within=within)
    if as_json:
        text = msgspec.json.encode(found.facts())
        click.echo(msgspec.json.format(text, indent=2).decode())
    else:
        click.echo(check_text(found), nl=False)
    if found.beyond:
        sys.exit(BEYOND)
