"""The inferred dependence of arrivals, process by process."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from replay.engine.dependence import Streams
from replay.trace.file.metadata import Process

#: Processes told of one by one, those with the most requests first.
MOST: Final = 1000


def dependence(
    streams: Streams, processes: Sequence[Process], devices: Sequence[str]
) -> dict[str, Any]:
    """Say what each process was taken to wait for.

    Parameters
    ----------
    streams : Streams
        What was inferred from the trace.
    processes : sequence of Process
        The trace's, for their names.
    devices : sequence of str
        ``major:minor`` of each replayed device.

    Returns
    -------
    dict
        ``processes``: for each process on a device its name, how many requests it has
        between queue and completion at most (``depth``), how many of its requests wait
        for a completion (``released``, the others for their predecessor's arrival
        alone), and the mean time it thinks before the next (``think_mean_ns``).
        ``left_out``: processes beyond the `MOST` with the most requests.
    """
    names = {one.pid: one.names[-1].name for one in processes if one.names}
    count = np.diff(streams.start)
    order = np.lexsort((np.arange(len(count)), -count))[:MOST]
    shown = []
    for stream in order.tolist():
        lo, hi = streams.start[stream : stream + 2].tolist()
        pid, depth = int(streams.pid[stream]), int(streams.depth[stream])
        shown.append(
            {
                "device": devices[streams.device[stream]],
                "pid": pid,
                "process": names.get(pid),
                "requests": hi - lo,
                "depth": depth,
                "released": max(0, hi - lo - depth),
                # before its first request it need not have been there
                "think_mean_ns": int(streams.think_ns[lo + 1 : hi].sum())
                // max(1, hi - lo - 1),
            }
        )
    return {"processes": shown, "left_out": len(count) - len(shown)}
