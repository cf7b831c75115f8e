"""Dependent arrivals: which completion each request waited for, and its think time.

A stream is an issuing process on a device. Both the engine and the
reference replay what is inferred here; the inference reads the trace alone.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.setup import NOT_REPLAYED

#: Later than any completion.
NEVER: Final = 2**62


class Streams(Struct, frozen=True, kw_only=True):
    """Requests of every stream, in queue order.

    Attributes
    ----------
    order : ndarray of int64, shape (n_replayed,)
        Positions of rows, stream after stream.
    think_ns : ndarray of int64, shape (n_replayed,)
        From what the request waited for to its queueing, never negative.
    needs : ndarray of int64, shape (n_replayed,)
        I/Os of the stream that must have completed before the request is queued.
    starts : ndarray of uint32, shape (n_replayed,)
        I/Os that begin with the request: 1, but where the device splits them.
    start : ndarray of int64, shape (n_streams + 1,)
        Where each stream begins in ``order``.
    depth : ndarray of int64, shape (n_streams,)
        The most I/Os a stream ever has between queue and completion, at least 1.
    pid : ndarray of int32, shape (n_streams,)
    device : ndarray of uint16, shape (n_streams,)
    """

    order: NDArray[np.int64]
    think_ns: NDArray[np.int64]
    needs: NDArray[np.int64]
    starts: NDArray[np.uint32]
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

    Where the device splits what a stream queues, its I/Os are counted and not its
    requests: a program has so many of those in flight. What remains of a split begins
    none of its own, but for what was merged with it, and waits for no completion.

    Requests whose completion was not seen do not count as in flight: a recording that
    lost some would seem to have ever more of them. They are taken to have completed
    with the next one that was queued later.
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
    rest = _rests(parts, replayed, queue, new)
    n_bios = _joined([part.n_bios for part in parts], np.uint32)[replayed]
    think_ns, needs = np.zeros(n, np.int64), np.zeros(n, np.int64)
    starts = np.ones(n, np.uint32)
    depth = np.ones(len(first), np.int64)
    for stream, (lo, hi) in enumerate(pairwise(start)):
        of = slice(lo, hi)
        if rest[of].any():
            starts[of] = np.maximum(n_bios[of], 1) - rest[of]
        depth[stream] = _think(
            queue[of], complete[of], starts[of], rest[of], needs[of], think_ns[of]
        )
    return Streams(
        order=replayed.astype(np.int64),
        think_ns=think_ns,
        needs=needs,
        starts=starts,
        start=start,
        depth=depth,
        pid=pid[first],
        device=device[first],
    )


def _joined(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _rests(
    parts: Sequence[Columns],
    rows: NDArray[np.intp],
    queue: NDArray[np.int64],
    new: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Find what remains of splits: queued with the request before it, and behind it."""
    sector = _joined([part.sector for part in parts], np.uint64)[rows]
    nbytes = _joined([part.nbytes for part in parts], np.uint32)[rows]
    op = _joined([part.op for part in parts], np.int8)[rows]
    rest = np.zeros(len(rows), np.bool_)
    rest[1:] = ~new[1:] & (queue[1:] == queue[:-1]) & (op[1:] == op[:-1])
    rest[1:] &= (nbytes[:-1] > 0) & (sector[1:] == sector[:-1] + (nbytes[:-1] >> 9))
    return rest


def _think(
    queue: NDArray[np.int64],
    complete: NDArray[np.int64],
    starts: NDArray[np.uint32],
    rest: NDArray[np.bool_],
    needs: NDArray[np.int64],
    out: NDArray[np.int64],
) -> int:
    """Fill in what a stream's requests wait for and think; return its depth."""
    seen = complete >= 0
    if not seen.any():
        depth = max(1, int(starts.sum()))
    else:
        before = np.cumsum(starts * seen, dtype=np.int64) - starts * seen
        in_flight = (
            before
            + 1
            - np.searchsorted(_completions(complete, starts, seen), queue, side="right")
        )
        depth = max(1, int(in_flight[seen & ~rest].max(initial=1)))
    known_ns = np.where(seen, complete, NEVER)
    next_ns = np.minimum.accumulate(known_ns[::-1])[::-1]
    later = np.where(seen, complete, next_ns)
    done = _completions(later, starts, later != NEVER)
    needs[:] = np.cumsum(starts, dtype=np.int64) - starts + ~rest - depth
    base = np.empty_like(queue)
    base[0] = 0
    base[1:] = queue[:-1]
    known = (needs > 0) & (needs <= len(done))
    base[known] = np.maximum(base[known], done[needs[known] - 1])
    out[:] = np.maximum(0, queue - base)
    return depth


def _completions(
    complete: NDArray[np.int64], starts: NDArray[np.uint32], of: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return when I/Os completed, those of one request at once, in their order."""
    order = np.argsort(complete[of], kind="stable")
    return np.repeat(complete[of][order], starts[of][order])
