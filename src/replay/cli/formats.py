"""``replay formats``."""

import click


@click.command
def formats() -> None:
    """List the formats that are read, with their columns and units."""
    from replay.trace.formats.docs import listing

    click.echo(listing(), nl=False)
