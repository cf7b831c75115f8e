"""What a command shows: with colours on a terminal, as plain text elsewhere."""

import sys
from typing import Final

import click
from rich.console import Console, RenderableType

from replay.report.text import render_text

#: Columns where no terminal sets them: nothing is folded or cut.
WIDE: Final = 1000


def show(what: RenderableType) -> None:
    """Print to standard output.

    Parameters
    ----------
    what : RenderableType
        Anything that rich can show.
    """
    if sys.stdout.isatty():
        Console(highlight=False).print(what)
    else:
        click.echo(render_text(what, width=WIDE), nl=False)
