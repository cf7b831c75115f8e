"""The page of a calibration: what was recorded beside what the model says."""

import numpy as np

from replay.calibration.disk import FEWEST, MOST_OFF, DiskCalibration
from replay.calibration.model import Calibration
from replay.calibration.times import MEASURES, off_text
from replay.calibration.toml import calibration_toml
from replay.common.text import size_text, time_text
from replay.report.html.drawing import NUMBER, Canvas, Picture, Spec
from replay.report.html.page import Content, Told
from replay.report.html.rows import Row, ShownCgroups
from replay.report.html.subjects.sides import times_picture

_SIDES = ("recorded", "predicted")


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
    worst: tuple[float, str] = (1.0, "")
    for name, (recorded, replayed) in _compared(found).items():
        for measure in MEASURES:
            one, other = max(1, recorded[measure]), max(1, replayed[measure])
            text = f"{measure.removesuffix('_ns')} of {name}: {off_text(one, other)}"
            worst = max(worst, (max(one / other, other / one), text))
    if not worst[1]:
        return f"Every time of {found.device} is predicted as it was recorded"
    doubt = "Do not trust it" if worst[0] > MOST_OFF else "Furthest off"
    return f"{doubt}: {worst[1]}"


def _pictures(
    found: Calibration | DiskCalibration,
) -> tuple[list[Picture], Canvas]:
    compared = _compared(found)
    canvas = Canvas(ShownCgroups(list(compared)))
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
                title=_answer(found),
                note=note,
                table="",
                sides=_SIDES,
            )
        )
    if isinstance(found, Calibration) and found.lines:
        drawn.append(_lines(found, canvas))
    return drawn, canvas


def _lines(found: Calibration, canvas: Canvas) -> Picture:
    """Draw the fitted lines over the service times that they were fitted to."""
    values = []
    for op, line in found.lines.items():
        # between logarithmic axes a line is a curve
        for n_bytes in np.geomspace(line.least_bytes, line.most_bytes, 24).tolist():
            time_ns = line.base_ns + line.ns_per_byte * n_bytes
            values.append(
                {"cgroup": op, "kib": n_bytes / 1024, "us": float(time_ns) / 1e3}
            )
    cells: list[Row] = [
        {
            "cgroup": one.op,
            "low_kib": one.low_bytes / 1024,
            "high_kib": one.high_bytes / 1024,
            "low_us": one.low_ns / 1e3,
            "high_us": one.high_ns / 1e3,
            "count": one.requests,
        }
        for one in found.cells
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
            "color": canvas.colour("cgroup", "operation"),
        },
    }
    return Picture(
        name="lines",
        title=f"Service by length: {said}",
        note=f"grey: requests, coloured: the fitted lines; {spreads}",
        spec={
            **canvas.spec(values, layer=[heat, fitted]),
            "resolve": {"scale": {"color": "independent"}},
        },
        table="",
    )
