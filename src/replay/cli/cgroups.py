"""``replay cgroups``."""

from pathlib import Path

import click

from replay.capture.live import CGROUPS
from replay.capture.saved import read_tree
from replay.cli import options
from replay.scenario.writing.cgroups import scenario_toml


@click.command(
    epilog=options.examples(
        "cgroups > machine.toml",
    )
)
@click.argument(
    "directory",
    metavar="[DIR]",
    default=CGROUPS,
    type=click.Path(path_type=Path),
)
def cgroups(directory: Path) -> None:
    """Write a cgroup tree in the form of a scenario.

    DIR is a live tree of cgroup v2 or a cgroup in it (by default /sys/fs/cgroup), a
    copy of one, or what 'replay record' saved. What comes out on standard output is
    for 'replay run -s': each cgroup's id and path, its limits, and its processes.
    """
    click.echo(scenario_toml(read_tree(directory), f"Cgroups of {directory}"), nl=False)
