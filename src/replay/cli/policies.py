"""``replay policies``."""

import click

from replay.cli import options


@click.command
@options.json
def policies(as_json: bool) -> None:
    """List the driver's policies: who serves, who pays, who is blocked."""
    from replay.scenario.docs.policies import listing, to_json

    click.echo(to_json() if as_json else listing(), nl=as_json)
