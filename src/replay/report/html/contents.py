"""The page and the pictures of anything that has some."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from replay.report.html.drawing import Picture
from replay.report.html.page import Content, check_report, write_page

#: Class, by module and name: module here, and its functions for page and pictures.
_KINDS: Final = {
    "replay.calibration.disk.DiskCalibration": "calibration",
    "replay.calibration.model.Calibration": "calibration",
    "replay.curves.curve.Curve": "curve",
    "replay.dataset.read.Dataset": "dataset",
    "replay.results.compare.Comparison": "comparison",
    "replay.sweeps.sweep.Sweep": "sweep",
    "replay.trace.file.read.Trace": "trace",
}


def content_of(what: Any) -> Content:
    """Gather the page of a sweep, a curve, a dataset, a trace and so on.

    Parameters
    ----------
    what : Result, mapping of str to Result, Comparison, Sweep, Curve, Dataset, \
Calibration or Trace

    Returns
    -------
    Content

    Raises
    ------
    TypeError
        It has no page.
    """
    from replay.results.result import Result

    if isinstance(what, Result):
        what = {Path(what.info["trace"]["path"]).name or "result": what}
    if isinstance(what, Mapping):
        from replay.report.html.results import results_content

        return results_content(what)
    module = _module(what)
    if module == "comparison":
        what = [what]
    make = getattr(
        import_module(f"replay.report.html.subjects.{module}"), f"{module}_content"
    )
    content: Content = make(what)
    return content


def pictures_of(what: Any) -> list[Picture]:
    """Draw anything that has pictures.

    Parameters
    ----------
    what
        As of `content_of`.

    Returns
    -------
    list of Picture

    Raises
    ------
    TypeError
        It has none.
    """
    return list(content_of(what).pictures)


def write_report(
    what: Any,
    path: str | Path,
    *,
    anonymous: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a page to look at and to hand on.

    Parameters
    ----------
    what : Result, mapping of str to Result, Comparison, Sweep, Curve, Dataset, \
Calibration or Trace
        Several results by the names that the page gives them, the first as the base.
    path : str or Path
        The HTML file. Everything it needs is in it; it loads nothing.
    anonymous : bool
        Replace the names of cgroups, files and processes; of results alone.
    overwrite : bool
        Replace the file that is there.

    Raises
    ------
    OutputError
        What draws is not installed, or the file cannot be written.
    """
    path = Path(path)
    check_report(path, overwrite=overwrite)
    if anonymous:
        from replay.report.html.results import results_content
        from replay.results.result import Result

        if isinstance(what, Result):
            what = {"result": what}
        if not isinstance(what, Mapping):
            raise ValueError("anonymous is for results")
        content = results_content(what, anonymous=True)
    else:
        content = content_of(what)
    write_page(content, path, overwrite=overwrite)


def _module(what: Any) -> str:
    for kind in type(what).__mro__:
        found = _KINDS.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            return found
    raise TypeError(f"{type(what).__name__} has no page")
