"""Dependent arrivals: which completion each request waited for, and its think time.

A stream is an issuing process on a device. Both the engine and the
reference replay what is inferred here; the inference reads the trace alone.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.setup import NOT_REPLAYED


class Streams(Struct, frozen=True, kw_only=True):
    """Requests of every stream, in queue order.

    Attributes
    ----------
    order : ndarray of int64, shape (n_replayed,)
        Positions of rows, stream after stream.
    think_ns : ndarray of int64, shape (n_replayed,)
        From what the request waited for to its queueing, never negative.
    start : ndarray of int64, shape (n_streams + 1,)
        Where each stream begins in ``order``.
    depth : ndarray of int64, shape (n_streams,)
        The most requests a stream ever has between queue and completion, at least 1.
    pid : ndarray of int32, shape (n_streams,)
    device : ndarray of uint16, shape (n_streams,)
    """

    order: NDArray[np.int64]
    think_ns: NDArray[np.int64]
    start: NDArray[np.int64]
    depth: NDArray[np.int64]
    pid: NDArray[np.int32]
    device: NDArray[np.uint16]


def infer_streams(parts: Sequence[Columns]) -> Streams:
    """Infer what each request of a trace waited for.

    Parameters
    ----------
    parts : sequence of Columns
        All rows, in their order.

    Returns
    -------
    Streams

    Notes
    -----
    O(n log n). The i-th request (from 0) of a stream of depth N is released by the
    stream's (i - N + 1)-th completion, counted, whichever request completes. Its base
    is the later of that completion and of its predecessor's arrival.
    """
    device = _joined([part.device for part in parts], np.uint16)
    replayed = np.flatnonzero(device != NOT_REPLAYED)
    queue = _joined([part.queue_ns for part in parts], np.int64)[replayed]
    issue = _joined([part.issue_ns for part in parts], np.int64)[replayed]
    queue = np.where(queue < 0, issue, queue)
    pid = _joined([part.pid for part in parts], np.int32)[replayed]
    device = device[replayed]
    by_queue = np.lexsort((replayed, queue, pid, device))
    replayed, queue = replayed[by_queue], queue[by_queue]
    pid, device = pid[by_queue], device[by_queue]
    n = len(replayed)
    new = np.ones(n, bool)
    new[1:] = (pid[1:] != pid[:-1]) | (device[1:] != device[:-1])
    first = np.flatnonzero(new)
    start = np.append(first, n).astype(np.int64)
    complete = _joined([part.complete_ns for part in parts], np.int64)[replayed]
    think_ns = np.zeros(n, np.int64)
    depth = np.ones(len(first), np.int64)
    for stream, (lo, hi) in enumerate(pairwise(start)):
        depth[stream] = _think(queue[lo:hi], complete[lo:hi], think_ns[lo:hi])
    return Streams(
        order=replayed.astype(np.int64),
        think_ns=think_ns,
        start=start,
        depth=depth,
        pid=pid[first],
        device=device[first],
    )


def _joined(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _think(
    queue: NDArray[np.int64], complete: NDArray[np.int64], out: NDArray[np.int64]
) -> int:
    """Fill in the think times of one stream and return its depth."""
    done = np.sort(complete[complete >= 0])
    index = np.arange(len(queue))
    in_flight = index + 1 - np.searchsorted(done, queue, side="right")
    depth = max(1, int(in_flight.max()))
    base = np.empty_like(queue)
    base[0] = 0
    base[1:] = queue[:-1]
    waited = index - depth
    known = (waited >= 0) & (waited < len(done))
    base[known] = np.maximum(base[known], done[waited[known]])
    out[:] = np.maximum(0, queue - base)
    return depth
