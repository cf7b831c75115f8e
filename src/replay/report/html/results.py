"""The page of one result, or of several beside each other."""

from collections.abc import Mapping, Sequence
from typing import Final

from replay.report.html.anonymous import without_names
from replay.report.html.colours import colours
from replay.report.html.drawing import Picture
from replay.report.html.page import (
    Content,
    PageTable,
    Told,
    page_html,
)
from replay.report.html.pictures import pictures
from replay.report.html.rows import by_io
from replay.report.text import render_text
from replay.results.result import Result
from replay.results.schema import TABLES

#: Tables that a page holds; those left out are aggregated.
_TABLES: Final = (
    *("charges", "interference", "latency", "memory", "io_stat", "workers"),
    *("kills", "errors"),
)


def report_html(results: Mapping[str, Result], *, anonymous: bool = False) -> str:
    """Make the page.

    Parameters
    ----------
    results : mapping of str to Result
        By the name that the page gives them; the first is the base.
    anonymous : bool
        Replace the names of cgroups, files and processes.

    Returns
    -------
    str
        HTML.
    """
    return page_html(results_content(results, anonymous=anonymous))


def results_content(
    results: Mapping[str, Result], *, anonymous: bool = False
) -> Content:
    """Gather what the page holds.

    Parameters
    ----------
    results, anonymous
        As of `report_html`.

    Returns
    -------
    Content
    """
    shown = without_names(results) if anonymous else results
    drawn = pictures(shown)
    headline = _headline(shown, drawn)
    # what the headline is about comes first
    drawn.sort(key=lambda one: one.title != headline)
    cgroups = dict.fromkeys(n for one in shown.values() for n in by_io(one))
    return Content(
        title=headline,
        told=[_told(name, one, len(shown) > 1) for name, one in shown.items()],
        pictures=drawn,
        tables=_tables(shown),
        colours=colours(list(cgroups)),
        provenance={
            f"{name}: scenario, trace, losses": {
                key: one.info[key]
                for key in ("versions", "trace", "quality", "scenario", "counts")
            }
            for name, one in shown.items()
        },
    )


def _headline(results: Mapping[str, Result], drawn: Sequence[Picture]) -> str:
    """Say the answer in a sentence."""
    if drawn:
        first = next(
            (one for one in drawn if one.name in ("waits", "memory")), drawn[0]
        )
        kills = sum(result.kills.num_rows for result in results.values())
        memory = next((one for one in drawn if one.name == "memory"), None)
        if kills and memory is not None:
            first = memory
        elif kills:
            return _killed(results)
        return first.title
    if any(one.kills.num_rows for one in results.values()):
        return _killed(results)
    return "Nothing was replayed, so there is nothing to see"


def _killed(results: Mapping[str, Result]) -> str:
    """Say who was killed first, and in which result."""
    name, kill = next(
        (name, row)
        for name, one in results.items()
        for row in one.kills.slice(0, 1).to_pylist()
    )
    where = f" under {name}" if len(results) > 1 else ""
    return f"{kill['task']} in {kill['victim_cgroup']} is killed{where}"


def _told(name: str, result: Result, several: bool) -> Told:
    """Say of a result what was replayed, and what is uncertain."""
    first, _, rest = render_text(result, width=100).partition("\n\n")
    shown = first.replace("\n", " ")
    return Told(
        text=f"{name}: {shown}" if several else shown,
        notes=result.info["notes"],
        words=rest,
    )


def _tables(results: Mapping[str, Result]) -> list[PageTable]:
    """Return the tables that stand below the pictures."""
    return [
        PageTable(
            name=name,
            title=name if len(results) == 1 else f"{name}: {result_name}",
            about=TABLES[name].note,
            table=result.tables[name],
            where=f"; all of them stand in {name}.parquet (replay run -o OUTDIR)",
        )
        for result_name, result in results.items()
        for name in _TABLES
    ]
