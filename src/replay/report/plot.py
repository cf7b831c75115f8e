"""Plots, by Altair; an extra of the installation (``cgroup-replay[plots]``)."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from replay.common.errors import OutputError
from replay.common.output import replacing
from replay.common.temporary import TemporaryDirectory
from replay.common.text import size_text
from replay.results.measures import BYTES, COUNT, MEASURES, NS

if TYPE_CHECKING:
    from replay.sweeps.axes import Axis
    from replay.sweeps.sweep import Sweep

FORMATS: Final = (".png", ".svg", ".html")
#: What a panel shows, if any cgroup has some of it.
PANELS: Final = ("kills", "errors", "charged_bytes", "p99_ns")
#: Cgroups that have lines of their own.
TOP_LINES: Final = 10

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>replay sweep</title>
</head>
<body>
{svg}
</body>
</html>
"""
_WIDTH: Final = 480
_HEIGHT: Final = 150
_UNITS: Final = {NS: ("ms", 1e6), BYTES: ("MiB", 2**20)}


def _altair() -> Any:
    # not installed everywhere, so not known to those who check types
    return import_module("altair")


def check_plot(path: Path) -> None:
    """Refuse what cannot be drawn, before any work is done.

    Raises
    ------
    OutputError
        The file's ending is no format, or what draws is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: name a file that ends in {', '.join(FORMATS)}")
    try:
        _altair()
        import_module("vl_convert")
    except ImportError as error:
        raise OutputError(
            f"{path}: {error.name} is not installed, which draws plots: "
            "pip install 'cgroup-replay[plots]'"
        ) from error


def sweep_plot(found: "Sweep", path: Path, *, overwrite: bool = False) -> None:
    """Draw a sweep: measures over the values of one key.

    Parameters
    ----------
    found : Sweep
        The key is the one that knees were looked for along, else the first with
        numbers, else the first.
    path : Path
        Its ending says the format: `FORMATS`.
    overwrite : bool
        Replace the file that is there.

    Raises
    ------
    OutputError
        It cannot be drawn or written.
    """
    check_plot(path)
    chart = sweep_chart(found)
    kind = path.suffix.lower().removeprefix(".")
    with replacing(path, overwrite=overwrite) as part:
        if kind == "html":
            part.write_text(_page(chart), encoding="utf-8")
            return
        options = {"scale_factor": 2} if kind == "png" else {}
        chart.save(str(part), format=kind, **options)


def _page(chart: Any) -> str:
    """Make a page of a chart: a picture, no script, and nothing from a network.

    Names in it may hold anything: what draws the picture escapes them, and the page
    tells the browser to run and to load nothing.
    """
    with TemporaryDirectory() as directory:
        picture = directory.path / "chart.svg"
        chart.save(str(picture), format="svg")
        return _PAGE.format(svg=picture.read_text("utf-8"))


def sweep_chart(found: "Sweep") -> Any:
    """Make the chart of a sweep, for notebooks.

    Returns
    -------
    altair.VConcatChart
    """
    alt = _altair()

    axis = _drawn_along(found)
    rows = _rows(found, axis)
    numbers = [row["x"] for row in rows if row["x"] is not None]
    x: Any
    if axis.numbers:
        ratio = max(numbers) / max(min(numbers), 1e-9)
        x = alt.X(
            "x:Q",
            title=_title(axis),
            scale=alt.Scale(type="log" if ratio > 8 else "linear", nice=False),
        )
    else:
        x = alt.X(
            "x:N",
            title=axis.key,
            sort=list(axis.values),
            axis=alt.Axis(labelAngle=0),
        )
    cgroups = list(dict.fromkeys(row["cgroup"] for row in rows))
    color = alt.Color(
        "cgroup:N", sort=cgroups, scale=alt.Scale(scheme="tableau10"), title="cgroup"
    )
    others = any(row["others"] for row in rows)
    panels = []
    for name in PANELS:
        if not any(row[name] for row in rows):
            continue
        measure = MEASURES[name]
        unit = _UNITS.get(measure.unit)
        title = measure.name if unit is None else f"{measure.name} ({unit[0]})"
        y = alt.Y(f"{name}:Q", title=title)
        if measure.unit == COUNT:
            y = y.axis(tickMinStep=1, format="d")
        base = alt.Chart({"values": rows}).encode(y=y, color=color)
        if axis.numbers:
            chart = base.mark_line(point=True).encode(x=x, order="x:Q")
            if others:
                dash = alt.StrokeDash(
                    "others:N", title="", legend=alt.Legend(symbolType="stroke")
                )
                chart = chart.encode(strokeDash=dash)
        else:
            chart = base.mark_bar().encode(x=x, xOffset="cgroup:N")
            if others:
                chart = chart.encode(column=alt.Column("others:N", title=""))
        panels.append(_with_knees(found, axis, chart).properties(**_size(axis)))
    if not panels:
        note = {"text": "no kills, errors, charges or requests at any point"}
        panels.append(alt.Chart({"values": [note]}).mark_text().encode(text="text:N"))
    return (
        alt.vconcat(*panels).resolve_scale(color="shared").configure_view(stroke=None)
    )


def _size(axis: "Axis") -> dict[str, int]:
    return {"width": _WIDTH, "height": _HEIGHT} if axis.numbers else {"height": _HEIGHT}


def _drawn_along(found: "Sweep") -> "Axis":
    searched = {knee.key for knee in found.knees}
    numeric = [axis for axis in found.axes if axis.numbers]
    for axis in numeric:
        if axis.label in searched:
            return axis
    return numeric[0] if numeric else found.axes[0]


def _title(axis: "Axis") -> str:
    if axis.step > 1:
        return f"{axis.label} (MiB)"
    return f"{axis.label} (MiB/s)" if _is_bytes(axis) else axis.label


def _is_bytes(axis: "Axis") -> bool:
    return axis.step > 1 or axis.label.endswith("bps")


def _x(axis: "Axis", number: float | None) -> float | None:
    if number is None or not _is_bytes(axis):
        return number
    return number / 2**20


def _rows(found: "Sweep", axis: "Axis") -> list[dict[str, Any]]:
    """Lay the measures out for Altair; in the units that the axes have."""
    place = found.axes.index(axis)
    rows: list[dict[str, Any]] = []
    for point in found.points:
        others = ", ".join(
            f"{one.key} = {value}"
            for at, (one, value) in enumerate(
                zip(found.axes, point.values, strict=True)
            )
            if at != place
        )
        x = _x(axis, point.numbers[place]) if axis.numbers else point.values[place]
        if axis.numbers and x is None:
            continue
        for row in point.rows():
            shown: dict[str, Any] = {"x": x, "cgroup": row["cgroup"], "others": others}
            for name in PANELS:
                value: Any = row[name]
                factor = _UNITS.get(MEASURES[name].unit, ("", 1))[1]
                shown[name] = None if value is None else value / factor
            rows.append(shown)
    return _busiest(rows)


def _busiest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the cgroups that are charged most or wait longest, and only busy ones."""
    weight: dict[str, float] = {}
    for row in rows:
        size = sum(row[name] or 0 for name in PANELS)
        weight[row["cgroup"]] = max(weight.get(row["cgroup"], 0), size)
    ranked = sorted((name for name in weight if weight[name]), key=lambda n: -weight[n])
    kept = set(ranked[:TOP_LINES])
    return [row for row in rows if row["cgroup"] in kept]


def _knee_text(axis: "Axis", number: float | None) -> str:
    if isinstance(number, int) and _is_bytes(axis):
        return size_text(number)
    return f"{number}"


def _with_knees(found: "Sweep", axis: "Axis", chart: Any) -> Any:
    """Draw a line where the outcome changes."""
    alt = _altair()

    numbers = {
        value: number
        for point in found.points
        for value, number in zip(point.values, point.numbers, strict=True)
    }
    marks = [
        {
            "x": _x(axis, numbers[knee.holds]),
            "knee": _knee_text(axis, numbers[knee.holds]),
        }
        for knee in found.knees
        if knee.holds is not None and numbers.get(knee.holds) is not None
    ]
    if not marks or not axis.numbers:
        return chart
    rule = alt.Chart({"values": marks}).mark_rule(strokeDash=[4, 3], color="gray")
    text = alt.Chart({"values": marks}).mark_text(
        align="left", dx=4, color="gray", baseline="top"
    )
    return alt.layer(
        rule.encode(x="x:Q"),
        text.encode(x="x:Q", y=alt.value(2), text="knee:N"),
        chart,
    )
