"""Pictures in a notebook, and from there to a file."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from replay.common.errors import OutputError
from replay.common.plain import plain
from replay.common.shown import Shown
from replay.report.html.bundle import need_vega
from replay.report.html.contents import pictures_of
from replay.report.html.drawing import Picture
from replay.report.html.static import rendered, titled, write_chart, write_pictures

_WIDTH: Final = 640
_FILES: Final = (".png", ".svg")


class Plots(Sequence[Picture]):
    """Pictures of one thing, as a notebook shows them.

    Parameters
    ----------
    pictures : sequence of Picture
    """

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._pictures = list(pictures)

    @property
    def names(self) -> list[str]:
        """Names of the pictures."""
        return [one.name for one in self._pictures]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._pictures)

    def __getitem__(self, which: Any) -> Any:
        """Return one by its number, or `Plots` of one by its name."""
        if isinstance(which, str):
            found = [one for one in self._pictures if one.name == which]
            if not found:
                raise KeyError(f"{which!r} is none of {', '.join(self.names)}")
            return Plots(found)
        if isinstance(which, slice):
            return Plots(self._pictures[which])
        return self._pictures[which]

    def __iter__(self) -> Iterator[Picture]:
        """Iterate over the pictures."""
        return iter(self._pictures)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write all of them: one file below each other, or a directory of files.

        Parameters
        ----------
        path : str or Path
            A file that ends in ``.png`` or ``.svg``, or a directory to make.
        overwrite : bool
            Replace what is there.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() in _FILES:
            write_chart(self._pictures, path, overwrite=overwrite)
        else:
            write_pictures(self._pictures, path, overwrite=overwrite)

    def __repr__(self) -> str:
        return f"<Plots: {', '.join(self.names) or 'nothing to draw'}>"

    def _repr_html_(self) -> str:
        """Show them: pictures without scripts."""
        return "".join(
            f"<figure>{rendered(titled(one, _WIDTH), '.svg').decode()}</figure>"
            for one in self._pictures
        )


def plots_of(what: object) -> Plots:
    """Draw anything that has pictures.

    Parameters
    ----------
    what : object

    Returns
    -------
    Plots

    Raises
    ------
    OutputError
        What draws is not installed.
    """
    need_vega(Path("plot"))
    return Plots(pictures_of(what))


def notebook_html(what: object) -> str:
    """Show a thing in words, with its first picture where pictures can be drawn.

    Parameters
    ----------
    what : object

    Returns
    -------
    str
        HTML without scripts; names in it are text.
    """
    found = ""
    try:
        found = plots_of(what)[:1]._repr_html_()
    except (OutputError, TypeError):
        # without what draws, or of what has no pictures, the words are all
        found = ""
    if isinstance(what, Shown):
        lines = "\n".join(plain(line) for line in what.text().split("\n"))
        return f"{found}<pre>{escape(lines)}</pre>"
    return f"{found}<pre>{escape(plain(repr(what)))}</pre>"
