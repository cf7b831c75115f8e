"""The page of a calibration: what was recorded beside what the model says."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from replay.calibration.cells import ServiceCell
from replay.calibration.disk import FEWEST, MOST_OFF, DiskCalibration
from replay.calibration.model import Calibration
from replay.calibration.times import MEASURES, off_text
from replay.calibration.toml import calibration_toml
from replay.common.text import size_text, time_text
from replay.report.html.colours import colours
from replay.report.html.drawing import NUMBER, Canvas, Picture, Spec
from replay.report.html.page import Content, Told
from replay.report.html.rows import Row, ShownCgroups
from replay.report.html.subjects.sides import times_picture

_SIDES = ("recorded", "predicted")
#: Times that are off by less than this factor are near, as in the tests of a disk.
_NEAR: Final = 1.25


def calibration_content(found: Calibration | DiskCalibration) -> Content:
    """Gather what the page of a calibration holds.

    Parameters
    ----------
    found : Calibration or DiskCalibration

    Returns
    -------
    Content
    """
    pictures, canvas = _pictures(found)
    return Content(
        title=_answer(found),
        told=[
            Told(
                text=f"{found.device} in {found.trace}",
                words=calibration_toml(found),
            )
        ],
        pictures=pictures,
        tables=[],
        colours={name: canvas.colours[name] for name in canvas.shown.names},
        provenance={"io.cost.model": found.iocost},
    )


def _compared(
    found: Calibration | DiskCalibration,
) -> dict[str, tuple[dict[str, int], dict[str, int]]]:
    """Return what was recorded and replayed, by cgroup or operation."""
    fits = found.predictions if isinstance(found, DiskCalibration) else found.fits
    return {name: (one.recorded, one.replayed) for name, one in fits.items()}


def _answer(found: Calibration | DiskCalibration) -> str:
    """Say what the device takes, and then how far to trust it."""
    return f"{found.device} takes {_takes(found)}; {_trust(found)}"


def _takes(found: Calibration | DiskCalibration) -> str:
    """Say what a request of each operation's usual size takes alone."""
    if isinstance(found, DiskCalibration):
        return " and ".join(
            f"{time_text(round(found.alone_ns(op, sizes.usual)))} for a {op} of "
            f"{size_text(sizes.usual)} alone"
            for op, sizes in found.sizes.items()
        )
    return " and ".join(
        f"{time_text(round(line.base_ns + line.ns_per_byte * line.most_bytes))} for a "
        f"{op} of {size_text(line.most_bytes)}"
        for op, line in found.lines.items()
    )


def _trust(found: Calibration | DiskCalibration) -> str:
    """Say how far predicted times are from recorded ones, at worst."""
    worst, said, most = 1.0, "", 0.0
    for name, (recorded, replayed) in _compared(found).items():
        for measure in MEASURES:
            one, other = max(1, recorded[measure]), max(1, replayed[measure])
            factor = max(one / other, other / one)
            most = max(most, abs(other / one - 1))
            if factor > worst:
                worst = factor
                said = f"{measure.removesuffix('_ns')} of {name}: "
                said += off_text(one, other)
    if not said:
        return "all times are predicted as they were recorded"
    if worst > MOST_OFF:
        return f"do not trust it: {said}"
    if worst > _NEAR:
        return f"trust it with care: {said}"
    within = math.ceil(most * 1000) / 10
    return f"it predicts all times within {within:g} % (furthest off: {said})"


def _pictures(
    found: Calibration | DiskCalibration,
) -> tuple[list[Picture], Canvas]:
    compared = _compared(found)
    canvas = Canvas(ShownCgroups(list(compared)))
    if isinstance(found, DiskCalibration):
        # operations have no buttons: the page's cgroups are told apart by theirs
        canvas.colours |= colours([*compared, *found.sizes])
    values: list[Row] = [
        {
            "cgroup": name,
            "side": side,
            "quantile": measure.removesuffix("_ns"),
            "ms": times[measure] / 1e6,
        }
        for name, both in compared.items()
        if name in canvas.shown.names
        for side, times in zip(_SIDES, both, strict=True)
        for measure in MEASURES
        if times[measure] > 0
    ]
    drawn = []
    if values:
        note = ""
        if isinstance(found, DiskCalibration):
            note = (
                "of the part of the trace that the disk was not identified from; "
                f"cgroups with fewer than {FEWEST} requests there are left out"
            )
        drawn.append(
            times_picture(
                canvas,
                values,
                title=_capital(_trust(found)),
                note=note,
                table="",
                sides=_SIDES,
            )
        )
    if isinstance(found, DiskCalibration):
        if found.cells:
            drawn.insert(0, _disk(found, canvas))
    elif found.lines:
        drawn.insert(0, _lines(found, canvas))
    return drawn, canvas


def _lines(found: Calibration, canvas: Canvas) -> Picture:
    """Draw the fitted lines over the service times that they were fitted to."""
    fitted = [
        _point(op, n_bytes, line.base_ns + line.ns_per_byte * n_bytes)
        for op, line in found.lines.items()
        for n_bytes in _sizes(line.least_bytes, line.most_bytes)
    ]
    said = ", ".join(
        f"{op}: {time_text(round(line.base_ns))} and "
        f"{size_text(round(1e9 / max(float(line.ns_per_byte), 1e-9)))}/s"
        for op, line in found.lines.items()
    )
    spreads = "; ".join(
        f"eight of ten {op}s take {one.p10:.2f} to {one.p90:.2f} times what their line "
        f"says, half of them {one.p50:.2f} times or less"
        for op, one in found.spreads.items()
    )
    return Picture(
        name="lines",
        title=f"Service by length: {said}",
        note=f"grey: requests, coloured: the fitted lines; {spreads}",
        spec=_service_spec(found.cells, fitted, [], canvas),
        table="",
    )


def _disk(found: DiskCalibration, canvas: Canvas) -> Picture:
    """Draw what the disk takes alone, over what was recorded in it."""
    lines = [
        _point(op, n_bytes, found.alone_ns(op, n_bytes))
        for op, sizes in found.sizes.items()
        for n_bytes in _sizes(sizes.least, sizes.most)
    ]
    alone: list[Row] = [
        {
            "cgroup": one.op,
            "kib": one.nbytes / 1024,
            "p10_us": one.p10_ns / 1e3,
            "us": one.p50_ns / 1e3,
            "p90_us": one.p90_ns / 1e3,
            "requests": one.requests,
        }
        for one in found.alone
    ]
    said = []
    for op, sizes in found.sizes.items():
        part = found.part(op)
        text = time_text((part.base_ns or 0) + found.beside_ns)
        if part.ns_per_byte:
            text += f" and then {size_text(round(1e9 / part.ns_per_byte))}/s"
        elif sizes.least == sizes.most:
            text += f" for {size_text(sizes.most)}, the only length"
        else:
            text += ", whatever its length"
        said.append(f"a {op} takes {text}")
    note = (
        "time from the last issue to completion; line: what a request takes that has "
        "the disk to itself, as identified"
    )
    if alone:
        note += "; dots: the median of those recorded alone, with 8 of 10 of them"
    return Picture(
        name="lines",
        title=_capital(f"{', '.join(said)}, alone"),
        note=f"{note}; grey: all requests, those above the line share the disk",
        spec=_service_spec(found.cells, lines, alone, canvas),
        table="",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sizes(least: int, most: int) -> list[float]:
    """Return sizes for a line: between logarithmic axes it is a curve."""
    if least == most:
        # of one size alone a line is to be seen, too
        return [least / 1.15, least * 1.15]
    return list(np.geomspace(least, most, 24).tolist())


def _point(op: str, n_bytes: float, time_ns: float) -> Row:
    return {"cgroup": op, "kib": n_bytes / 1024, "us": float(time_ns) / 1e3}


def _service_spec(
    counted: Sequence[ServiceCell],
    lines: Sequence[Row],
    alone: Sequence[Row],
    canvas: Canvas,
) -> Spec:
    """Draw lines over cells of like requests; and between them those recorded alone."""
    cells: list[Row] = [
        {
            "cgroup": one.op,
            "low_kib": one.low_bytes / 1024,
            "high_kib": one.high_bytes / 1024,
            "low_us": one.low_ns / 1e3,
            "high_us": one.high_ns / 1e3,
            "count": one.requests,
        }
        for one in counted
    ]
    x: Spec = {
        "type": "quantitative",
        "title": "length (KiB)",
        "scale": {"type": "log", "nice": False},
        "axis": {"format": NUMBER},
    }
    y: Spec = {
        "type": "quantitative",
        "title": "service (us)",
        "scale": {"type": "log", "nice": False},
        "axis": {"format": NUMBER},
    }
    colour = canvas.colour("cgroup", "operation")
    ops = list(dict.fromkeys(row["cgroup"] for row in lines))
    colour["scale"] = {"domain": ops, "range": [canvas.colours[op] for op in ops]}
    heat: Spec = {
        "data": {"values": cells},
        "transform": canvas.fits("cgroup"),
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            "x": {"field": "low_kib", **x},
            "x2": {"field": "high_kib"},
            "y": {"field": "low_us", **y},
            "y2": {"field": "high_us"},
            "color": {
                "field": "count",
                "type": "quantitative",
                "aggregate": "sum",
                "title": "requests",
                "scale": {"type": "log", "scheme": "greys"},
            },
        },
    }
    fitted: Spec = {
        "transform": canvas.fits("cgroup"),
        "mark": {"type": "line", "tooltip": True, "strokeWidth": 3},
        "encoding": {
            "x": {"field": "kib", **x},
            "y": {"field": "us", **y},
            "color": {**colour, "legend": {"orient": "top"}},
        },
    }
    spread: Spec = {
        "data": {"values": list(alone)},
        "transform": canvas.fits("cgroup"),
        "encoding": {"x": {"field": "kib", **x}, "color": colour},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"y": {"field": "p10_us", **y}, "y2": {"field": "p90_us"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "tooltip": True},
                "encoding": {"y": {"field": "us", **y}},
            },
        ],
    }
    return {
        **canvas.spec(lines, layer=[heat, fitted, *([spread] if alone else [])]),
        "resolve": {"scale": {"color": "independent"}},
    }
