"""What each worker was at: the commands that it served, one after the other."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from replay.results.result import Result

Row = dict[str, Any]


class Served(NamedTuple):
    """A command in the lane of its worker.

    Attributes
    ----------
    row : dict
        Of the table ``requests``.
    end_ns : int
        The worker takes up the next one then: it has completed this one, or handed it
        on.
    """

    row: Row
    end_ns: int


def has_lanes(result: Result) -> bool:
    """Return True if a result's workers are busy with their commands.

    With direct I/O they submit them, which takes no time in the model, and a plain disk
    has no workers.
    """
    return not result.info["scenario"]["driver"]["direct_io"]


def lanes_of(rows: Iterable[Row]) -> dict[tuple[str, int], list[Served]]:
    """Return what each worker served, in order.

    Parameters
    ----------
    rows : iterable of dict
        Completed requests, with ``device``, ``worker``, ``start_ns`` and
        ``completion_ns``; those without a worker are left out.

    Returns
    -------
    dict of (str, int) to list of Served
        By device and worker, sorted.
    """
    by_worker: defaultdict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if row["worker"] is not None and row["start_ns"] is not None:
            by_worker[row["device"], row["worker"]].append(row)
    found = {}
    for worker, served in sorted(by_worker.items()):
        served.sort(key=lambda row: (row["start_ns"], row["completion_ns"]))
        nexts = [row["start_ns"] for row in served[1:]]
        ends = [
            max(min(row["completion_ns"], until), row["start_ns"])
            for row, until in zip(served, nexts, strict=False)
        ]
        ends.append(served[-1]["completion_ns"])
        found[worker] = [
            Served(row, end) for row, end in zip(served, ends, strict=True)
        ]
    return found
