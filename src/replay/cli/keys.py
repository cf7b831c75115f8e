"""``replay keys``."""

import click


@click.command
@click.argument("pattern", default="", metavar="[TEXT]")
def keys(pattern: str) -> None:
    """List the keys of a scenario, with defaults and meaning.

    With TEXT only those in whose name or meaning it stands: 'replay keys memory'.
    """
    from replay.scenario.docs.listing import key_lines

    lines = list(key_lines(pattern))
    if not lines:
        raise click.ClickException(
            f"{pattern!r}: stands in no key and no meaning: 'replay keys' lists all"
        )
    click.echo("\n".join(lines))
