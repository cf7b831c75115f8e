"""Which page each thing that is shown has."""

from importlib import import_module
from typing import Any, Final, cast

from rich.console import RenderableType

from replay.common.shown import Shown
from replay.report.text import render_text

#: Class, by module and name: module and name of the function that makes its page. Only
#: that of the page which is shown is imported.
PAGES: Final = {
    "replay.curves.curve.Curve": ("replay.report.curve", "curve_page"),
    "replay.results.compare.Comparison": ("replay.report.compare", "comparison"),
    "replay.results.result.Result": ("replay.report.summary", "summary"),
    "replay.sweeps.sweep.Sweep": ("replay.report.sweep", "sweep_page"),
    "replay.trace.file.info.TraceInfo": ("replay.report.info", "info_page"),
}


def page_of(shown: Shown) -> RenderableType:
    """Make the page of an object.

    Parameters
    ----------
    shown : Shown
        Of a class in `PAGES`, or of one that inherits it.

    Returns
    -------
    RenderableType
    """
    for kind in type(shown).__mro__:
        place = PAGES.get(f"{kind.__module__}.{kind.__qualname__}")
        if place is not None:
            module, function = place
            page = getattr(import_module(module), function)(shown)
            return cast(RenderableType, page)
    raise TypeError(f"{type(shown).__name__} has no page")


def text_of(shown: Shown) -> str:
    """Return the page of an object as plain text, 80 columns."""
    return render_text(page_of(shown))


def plots_of(what: object) -> Any:
    """Draw anything that has pictures.

    Parameters
    ----------
    what : object

    Returns
    -------
    replay.report.html.plots.Plots
    """
    return import_module("replay.report.html.plots").plots_of(what)


def notebook_of(what: object) -> str:
    """Show a thing in a notebook.

    Parameters
    ----------
    what : object

    Returns
    -------
    str
        HTML without scripts.
    """
    page = import_module("replay.report.html.plots").notebook_html(what)
    return cast(str, page)
