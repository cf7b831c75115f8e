"""Objects that rich and notebooks can show, their pages and pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


class Drawn:
    """Mixin of a class whose objects have pictures in `replay.report.html`.

    Notes
    -----
    This and `Shown` are the one place where a lower room asks a higher one: what a
    result is does not depend on how it looks. What draws is imported when it is shown.
    """

    __slots__ = ()

    def plot(self) -> Any:
        """Draw it.

        Returns
        -------
        replay.report.html.plots.Plots
            The pictures of its page; a notebook shows them, ``save`` writes them.

        Raises
        ------
        OutputError
            What draws is not installed (``cgroup-replay[plots]``).
        """
        from replay.report.pages import plots_of

        return plots_of(self)

    def _repr_html_(self) -> str:
        """Let a notebook show it: what it is in words, and its first picture."""
        from replay.report.pages import notebook_of

        return notebook_of(self)


class Shown(Drawn):
    """Mixin of a class whose objects have a page of text in `replay.report.pages`."""

    __slots__ = ()

    def text(self) -> str:
        """Return the page as plain text.

        Returns
        -------
        str
            80 columns, without colours.
        """
        from replay.report.pages import text_of

        return text_of(self)

    def __rich__(self) -> "RenderableType":
        """Let rich show the page."""
        from replay.report.pages import page_of

        return page_of(self)
