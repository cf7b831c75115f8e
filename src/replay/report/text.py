"""Anything that rich can show, as plain text."""

import io
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from replay.common.plain import plain

WIDTH: Final = 80


def render_text(what: RenderableType, *, width: int = WIDTH) -> str:
    """Render without colours or control codes.

    Parameters
    ----------
    what : RenderableType
        For example a `Result`.
    width : int
        Columns.

    Returns
    -------
    str
        Lines without trailing blanks; the same on every machine and terminal.
    """
    console = Console(
        file=io.StringIO(),
        width=width,
        color_system=None,
        force_terminal=False,
        # else rich writes into the notebook itself, and leaves empty lines there
        force_jupyter=False,
        legacy_windows=False,
        highlight=False,
        # names of cgroups may hold colons; the table of emoji takes long to import
        emoji=False,
        _environ={},
    )
    with console.capture() as capture:
        console.print(what)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def indented(text: str) -> RenderableType:
    """Return a line below a heading: indented, and folded where it is long."""
    return Padding(Text(plain(text), overflow="fold"), (0, 0, 0, 2), expand=False)
