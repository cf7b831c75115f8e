"""A recording as it is held against replays of it: its trace and its counters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.capture.saved import BEGIN, END
from replay.common.errors import CaptureError
from replay.results.result import Result
from replay.trace.file.read import Trace
from replay.trace.file.schema import device_number
from replay.verify.counters import CgroupCounters, read_counters

LOOP: Final = device_number("7:0")


@dataclass(frozen=True, slots=True)
class SavedCapture:
    """A directory that ``replay record`` or the lab wrote.

    Attributes
    ----------
    name : str
    folder : Path
        Holds ``begin/``, ``end/`` and ``ids``.
    trace : Trace
        What was recorded there, converted.
    """

    name: str
    folder: Path
    trace: Trace

    def begin(self) -> dict[str, CgroupCounters]:
        """Return each cgroup's counters before the run, by path."""
        return read_counters(self.folder / BEGIN)

    def kernel(self) -> dict[str, CgroupCounters]:
        """Return each cgroup's counters at the end of the run, by path."""
        return read_counters(self.folder / END)

    def id_of(self, path: str) -> int:
        """Return the id of a cgroup in the trace.

        Raises
        ------
        CaptureError
            The trace has no request of it.
        """
        for cgroup in self.trace.metadata.summary.cgroups:
            if cgroup.path == path:
                return cgroup.id
        raise CaptureError(f"{self.folder}: its trace has no request of {path}")

    def span_ns(self, path: str) -> int:
        """Return the time from a cgroup's first queueing to its last completion."""
        of_it = self._of(path)
        return int(of_it["complete_ns"].max() - of_it["queue_ns"].min())

    def times_ns(self, path: str, since: str = "queue_ns") -> NDArray[np.int64]:
        """Return the recorded times of a cgroup's requests on the loop device, sorted.

        Parameters
        ----------
        path : str
        since : str
            ``queue_ns`` or ``issue_ns``; until completion.
        """
        of_it = self._of(path)
        return np.sort(of_it["complete_ns"] - of_it[since])

    def _of(self, path: str) -> dict[str, NDArray[np.int64]]:
        """Return the times of a cgroup's requests on the loop device."""
        table = self.trace.table()
        mask = np.asarray(table["cgroup"]) == self.id_of(path)
        mask &= np.asarray(table["device"]) == LOOP
        names = ("queue_ns", "issue_ns", "complete_ns")
        return {name: np.asarray(table[name])[mask] for name in names}


def recorded_means(trace: Trace, result: Result) -> dict[str, float]:
    """Return each cgroup's mean from queueing to completion, of the rows replayed.

    It is that which ``total`` is by default; where no Q was seen, from issue.

    Parameters
    ----------
    trace : Trace
    result : Result
        A replay of it, with its requests.
    """
    if result.requests is None:
        raise ValueError("the result has no requests")
    table = trace.table()
    queue, issue, complete = (
        table[name].fill_null(-1).to_numpy()
        for name in ("queue_ns", "issue_ns", "complete_ns")
    )
    took = complete - np.where(queue < 0, issue, queue)
    done = result.requests.filter(result.requests["completion_ns"].is_valid())
    issuer = done["issuer"].to_numpy(zero_copy_only=False)
    rows = done["row"].to_numpy()
    return {
        path: float(took[rows[issuer == path]].mean()) for path in sorted(set(issuer))
    }
