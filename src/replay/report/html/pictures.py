"""The pictures of a page, in the order in which they stand there."""

from collections.abc import Callable, Mapping
from typing import Final

from replay.report.html import depth, explained, lanes, rows, sums, times
from replay.report.html.drawing import Drawing, Picture
from replay.results.result import Result

_PICTURES: Final[tuple[Callable[[Drawing], Picture | None], ...]] = (
    *(sums.waits, sums.latency, sums.stages, times.memory, explained.slowest),
    *(
        times.over_time,
        times.requests,
        lanes.lanes,
        times.throughput,
        depth.depth,
        sums.payers,
    ),
)


def pictures(results: Mapping[str, Result]) -> list[Picture]:
    """Draw what there is to see of some results, the answer first.

    Parameters
    ----------
    results : mapping of str to Result
        By the name that stands beside each where there are several.

    Returns
    -------
    list of Picture
        Those that have marks.
    """
    names = dict.fromkeys(n for one in results.values() for n in rows.by_io(one))
    drawing = Drawing(results, rows.ShownCgroups(list(names)))
    return [found for make in _PICTURES if (found := make(drawing)) is not None]
