"""Reports on standard output."""

import io
import os
import sys
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Columns where neither a terminal nor COLUMNS sets a width: no line is folded, so
#: names can be searched.
_WIDE: Final = 1000
#: Narrower terminals get the lines of this one, rather than numbers cut short.
_LEAST: Final = 80


def show(what: "RenderableType") -> None:
    """Print a report, in colour on a terminal and as plain text elsewhere.

    Parameters
    ----------
    what : RenderableType
        A result or a comparison.
    """
    from rich.console import Console

    from replay.report.text import render_text

    if sys.stdout.isatty():
        if isinstance(sys.stdout, io.TextIOWrapper):
            # as below
            sys.stdout.reconfigure(errors="backslashreplace")
        console = Console(highlight=False, emoji=False)
        console.width = max(console.width, _LEAST)
        console.print(what)
        return
    text = render_text(what, width=_width())
    # a report is not lost because its last cgroup has a name that the locale has not
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False)


def _width() -> int:
    """Return the columns of what is no terminal; long names fold, none is cut."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdecimal() and 0 < int(columns) < _WIDE:
        return max(int(columns), _LEAST)
    return _WIDE
