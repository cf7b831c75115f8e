"""The page of a curve: what every memory.max would cost each cgroup."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from replay.common.text import count_text, size_text
from replay.curves.cache import CacheCurve
from replay.curves.curve import SHARES, Curve, TmpfsCurve
from replay.engine.setup import PAGE_BYTES
from replay.report.curve import curve_page
from replay.report.html.drawing import NUMBER, Canvas, Picture, Spec
from replay.report.html.page import Content, PageTable, Told
from replay.report.html.rows import Row, ShownCgroups
from replay.report.text import render_text

#: Limits at which a curve is drawn.
_POINTS: Final = 240
_MIB: Final = 2**20


def curve_content(found: Curve) -> Content:
    """Gather what the page of a curve holds.

    Parameters
    ----------
    found : Curve

    Returns
    -------
    Content
    """
    canvas = _canvas(found)
    return Content(
        title=_answer(found),
        told=[
            Told(
                text=f"{count_text(len(found.cgroups), 'cgroup')} charged for pages",
                notes=found.notes,
                words=render_text(curve_page(found), width=100),
            )
        ],
        pictures=_pictures(found, canvas),
        tables=[
            PageTable(
                name="limits",
                title="limits",
                about="A row for each cgroup and limit.",
                table=found.table(),
                where="; all of them: replay curve -o TABLE.parquet",
            )
        ],
        colours={name: canvas.colours[name] for name in canvas.shown.names},
        provenance={},
    )


def _canvas(found: Curve) -> Canvas:
    return Canvas(ShownCgroups([one.cgroup for one in found.cgroups]))


def _answer(found: Curve) -> str:
    if not found.cgroups:
        return "No cgroup but / is charged for a page"
    one = found.cgroups[0]
    need = size_text(one.need_bytes)
    if found.tmpfs:
        return f"{one.cgroup} needs a memory.max of {need}: with less it is stopped"
    if not one.need_bytes:
        return f"{one.cgroup} reads no page twice: no memory.max loses a hit"
    return f"{one.cgroup} loses no hit with a memory.max of {need}"


def _pictures(found: Curve, canvas: Canvas) -> list[Picture]:
    values = [
        row
        for one in found.cgroups
        if one.cgroup in canvas.shown.names
        for row in (_stops(one) if isinstance(one, TmpfsCurve) else _shares(one))
    ]
    if not values:
        return []
    x: Spec = {
        "field": "limit_mib",
        "type": "quantitative",
        "title": "memory.max (MiB)",
        "scale": {"type": "log", "nice": False},
        "axis": {"format": NUMBER},
    }
    if found.tmpfs:
        y: Spec = {
            "field": "stopped_s",
            "type": "quantitative",
            "title": "stopped at (s since the trace's start)",
        }
        note = "where a line ends at its right, all of it fits"
        # a limit of a few pages stops everybody at once: no room is given to that
        needs_bytes = [one.need_bytes for one in found.cgroups if one.need_bytes]
        if needs_bytes:
            x["scale"]["domainMin"] = SHARES[0] * min(needs_bytes) / _MIB
    else:
        y = {
            "field": "lost",
            "type": "quantitative",
            "title": "share of the cache's hits that are lost",
            "scale": {"domain": [0, 1]},
            "axis": {"format": "%"},
        }
        note = "as if pages were given back in the order of their last use"
    names = len(canvas.shown.names)
    if canvas.shown.n_more:
        more = names + canvas.shown.n_more
        note += f"; {names} of {more} cgroups: those that need most"
    needs = [
        {"cgroup": one.cgroup, "limit_mib": one.need_bytes / _MIB}
        for one in found.cgroups
        if one.cgroup in canvas.shown.names and one.need_bytes
    ]
    line: Spec = {
        "transform": canvas.fits("cgroup"),
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "tooltip": True,
            "clip": True,
        },
        "encoding": {"x": x, "y": y, "color": canvas.colour()},
    }
    rule: Spec = {
        "data": {"values": needs},
        "transform": canvas.fits("cgroup"),
        "mark": {"type": "rule", "strokeDash": [3, 3], "tooltip": True},
        "encoding": {"x": x, "color": canvas.colour()},
    }
    return [
        Picture(
            name="curve",
            title=_answer(found),
            note=f"{note}; dashed: what each needs",
            spec=canvas.spec(values, layer=[line, rule], height=300),
            table="limits",
        )
    ]


def _shares(one: CacheCurve) -> list[Row]:
    """Return the share of hits that is lost, at limits a factor apart."""
    most = one.need_bytes // PAGE_BYTES
    if not most:
        return []
    pages = np.unique(np.geomspace(1, most, _POINTS).astype(np.int64)).tolist()
    uses = max(one.uses, 1)
    return [
        {
            "cgroup": one.cgroup,
            "limit_mib": page * PAGE_BYTES / _MIB,
            "lost": one.lost(page * PAGE_BYTES) / uses,
            "read_again_mib": one.read_again_bytes(page * PAGE_BYTES) / _MIB,
        }
        for page in pages
    ]


def _stops(one: TmpfsCurve) -> list[Row]:
    """Return when a limit stops it: below what is charged then, and from there on."""
    kept: Sequence[int] = range(len(one.rows))
    if len(kept) > _POINTS:
        places = np.linspace(0, len(one.rows) - 1, _POINTS)
        kept = np.unique(places.astype(np.int64)).tolist()
    limits = [1, *one.pages]
    return [
        {
            "cgroup": one.cgroup,
            "limit_mib": max(limits[at], 1) * PAGE_BYTES / _MIB,
            "stopped_s": one.times[at] / 1e9,
            "row": one.rows[at],
        }
        for at in kept
    ]
