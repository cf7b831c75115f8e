"""Objects that rich can show, and their pages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


class Shown:
    """Mixin of a class whose objects have a page in `replay.report.pages`.

    Notes
    -----
    This is the one place where a lower room asks a higher one: what a result is does
    not depend on how it looks. The page's module is imported when it is shown.
    """

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
