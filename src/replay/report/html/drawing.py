"""What the pictures of a page share: cgroups, colours, filters.

All of them know the same three signals, which the page sets: ``picked`` (a cgroup),
``from_s`` and ``to_s``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from replay.report.html import rows
from replay.report.html.colours import GREY, colours
from replay.report.html.rows import OTHERS, Row, ShownCgroups
from replay.results.result import Result

Spec = dict[str, Any]

#: Stages keep their colour in every picture; neighbours differ in lightness too.
#: None is like a cgroup's (`colours.PALETTE`), for who sees no green either.
STAGE_COLOURS: Final = {
    "throttle": "#D25A4B",
    "queue": "#960000",
    "tag": "#F0C3F0",
    "dispatch": "#3C2DA5",
    "lock": "#E1D269",
    "memory": "#1E4B4B",
    "backing": "#D2D2C3",
    "debt": "#5AE187",
    "device": "#1E78FF",
}
SIGNALS: Final = [
    {"name": "picked", "value": None},
    {"name": "from_s", "value": None},
    {"name": "to_s", "value": None},
]
_HEIGHT: Final = 220
#: Format of numbers on an axis: without a power of ten where it can be.
NUMBER: Final = ",.6~g"
SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"


class Picture(Struct, frozen=True, kw_only=True):
    """One picture of a page.

    Attributes
    ----------
    name : str
        Of its place on the page, and of its file.
    title : str
        The answer, in words.
    note : str
        What is cut or left out, or must be known; may be empty.
    spec : dict
        Vega-Lite; its width is ``"container"``.
    table : str
        The table that it is drawn from.
    """

    name: str
    title: str
    note: str
    spec: Spec
    table: str


def number_text(value: float) -> str:
    """Write a number for a title: three digits at least, no power of ten."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def time_axis(field: str, what: str = "time", **rest: Any) -> Spec:
    """Return an axis of seconds since the trace's start: a part's begins with it."""
    return {
        "field": field,
        "type": "quantitative",
        "title": f"{what} since the trace's start (s)",
        "scale": {"zero": False},
        **rest,
    }


def ms_scale(values: Iterable[float]) -> Spec:
    """Return scale and axis of times in ms: logarithmic.

    Where a time is 0 it has a place of its own, below all others.
    """
    if min(values, default=0) > 0:
        return {"scale": {"type": "log"}, "axis": {"format": NUMBER}}
    ticks = [0, *(10.0**n for n in range(-3, 8))]
    return {
        "scale": {"type": "symlog", "constant": 0.001},
        "axis": {"format": NUMBER, "values": ticks},
    }


class Canvas:
    """Pictures of one page: they share cgroups, colours and signals.

    Parameters
    ----------
    shown : ShownCgroups
        The cgroups that are told apart.
    """

    def __init__(self, shown: ShownCgroups) -> None:
        self.shown = shown
        self.colours = colours([*shown.names, OTHERS])
        self.colours[OTHERS] = GREY

    def colour(self, field: str = "cgroup", title: str = "cgroup") -> Spec:
        """Colour by cgroup, the same one in every picture."""
        return {
            "field": field,
            "type": "nominal",
            "title": title,
            "scale": {
                "domain": list(self.colours),
                "range": list(self.colours.values()),
            },
            "legend": None,
        }

    def fits(self, *fields: str, time: str | None = None) -> list[Spec]:
        """Filter by what was picked on the page."""
        test = " || ".join(f"datum['{field}'] === picked" for field in fields)
        filters = [{"filter": f"picked === null || {test}"}]
        if time is not None:
            filters.append(
                {
                    "filter": f"from_s === null || (datum['{time}'] >= from_s "
                    f"&& datum['{time}'] <= to_s)"
                }
            )
        return filters

    def spec(self, values: Sequence[Row], **rest: Any) -> Spec:
        """Make a specification."""
        return {
            "$schema": SCHEMA,
            "params": SIGNALS,
            "data": {"values": list(values)},
            "width": "container",
            "height": _HEIGHT,
            **rest,
        }


class Drawing(Canvas):
    """The pictures of one result, or of several beside each other."""

    def __init__(self, results: Mapping[str, Result], shown: ShownCgroups) -> None:
        super().__init__(shown)
        self.results = results
        self.several = len(results) > 1
        self._over_time: dict[str, tuple[list[Row], list[Row]]] = {}

    def stages(self, name: str) -> list[Row]:
        """Return what the requests of a result waited in each interval, by stage."""
        return self._in_intervals(name)[0]

    def sums(self, name: str) -> list[Row]:
        """Return the I/O and the memory of a result in each interval."""
        return self._in_intervals(name)[1]

    def _in_intervals(self, name: str) -> tuple[list[Row], list[Row]]:
        # several pictures are drawn from it, and it goes through the whole timeline
        if name not in self._over_time:
            self._over_time[name] = rows.over_time(self.results[name], self.shown)
        return self._over_time[name]

    def gather(
        self, make: Callable[[Result, ShownCgroups], Sequence[Row]]
    ) -> list[Row]:
        """Return the rows of all results, each with its result's name."""
        return [
            {"result": name, **row}
            for name, result in self.results.items()
            for row in make(result, self.shown)
        ]

    def by_result(self) -> Spec:
        """Draw a line for each result; that of the first, the base, is dashed."""
        names = list(self.results)
        if not self.several:
            return {"detail": {"field": "result"}}
        dash = {
            "field": "result",
            "type": "nominal",
            "scale": {"domain": names, "range": [[6, 4], *([[1, 0]] * len(names))]},
            "legend": None,
        }
        return {"strokeDash": dash}

    def stage_colour(self, values: Iterable[Row]) -> Spec:
        """Colour by stage, those that rows have: the others need no legend."""
        used = {row["stage"] for row in values}
        stages = [one for one in rows.STAGES if one in STAGE_COLOURS and one in used]
        return {
            "field": "stage",
            "type": "nominal",
            "sort": stages,
            "scale": {
                "domain": stages,
                "range": [STAGE_COLOURS[stage] for stage in stages],
            },
            "legend": {"orient": "top", "title": None, "columns": 5},
        }

    def spec(self, values: Sequence[Row], **rest: Any) -> Spec:
        """Make a specification; several results stand below each other."""
        spec = super().spec(values, **rest)
        if self.several and "layer" not in spec:
            spec["encoding"] = {
                **spec["encoding"],
                "row": {"field": "result", "type": "nominal", "title": None},
            }
            spec["width"] = 560
        return spec
