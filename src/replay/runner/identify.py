"""Identify a plain disk from a trace of it: what a request takes, and what all share.

Nothing is fitted by replaying. What the device did is read off its busy periods, what
it refused off the requests that were issued again, and its scheduler off the order in
which it issued what waited.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs
from numpy.typing import NDArray

from replay.engine.setup import NS_PER_BYTE_SHIFT, PAGE_BYTES, Scheduler
from replay.runner.seen import Seen, read_requests
from replay.trace.file.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]
#: Completions of one busy period that are taken together.
WINDOW: Final = 256
#: Fewer requests than this tell nothing of a device.
FEWEST: Final = 16
#: Of all requests: where fewer are alone, they are of a kind of their own.
ALONE_SHARE: Final = 0.01
#: Shares that differ by less say the same.
MARGIN: Final = 0.02
#: Of what a request takes besides its data: see `replay.engine.disk`.
OWN_DESCRIPTORS: Final = 2
#: Rings have a power of two of descriptors, up to this one.
MOST_DESCRIPTORS: Final = 1 << 16
#: Source: block/blk-iocost.c, LCOEF_RANDIO_PAGES, v6.1: 4,096 pages.
NEAR_SECTORS: Final = 4096 * 8


#: Of the pipe's times as `IdentifiedDisk.pipe` has them.
_SCALES: Final = np.array([1.0, 2**NS_PER_BYTE_SHIFT, 1.0] * 2 + [1.0])


class IdentifiedDisk(Struct, frozen=True, kw_only=True):
    """A disk's identified parameters; times in ns.

    Attributes
    ----------
    device : int
        Number of the traced device.
    n_requests : int
        That it was identified from.
    pipe : tuple of 7 int
        As a row of ``Setup.disk_pipe``.
    delay_ns : int
        What a request takes besides, alone.
    descriptors : int
        Of its ring, 0 where it was never full.
    n_refused : int
        Requests that it refused, at least once.
    agree : float
        Share of the refusals that a ring of that size explains.
    requeue_ns : int
        From a completion until what was refused was issued again, in the mean.
    together : bool
        It answers when it has served all that it has.
    scheduler : Scheduler
    overtaken : float
        Share of requests, of those that waited together, that were issued before one
        that had come earlier.
    explained : float
        Share of the busy periods' length that the pipe explains.
    """

    device: int
    n_requests: int
    pipe: tuple[int, ...]
    delay_ns: int
    descriptors: int
    n_refused: int
    agree: float
    requeue_ns: int
    together: bool
    scheduler: Scheduler
    overtaken: float
    explained: float


def identify(
    batches: Iterable[pa.RecordBatch],
    devices: Sequence[int],
    *,
    until_ns: int | None = None,
) -> list[IdentifiedDisk | None]:
    """Identify the disks of a trace.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Rows of a trace file.
    devices : sequence of int
        Their numbers.
    until_ns : int or None
        Requests that complete later are not looked at.

    Returns
    -------
    list of (IdentifiedDisk or None)
        One for each; None where too few requests completed.
    """
    seen = read_requests(batches, devices, until_ns)
    return [
        identify_one(device, requests) if len(requests) >= FEWEST else None
        for device, requests in zip(devices, seen, strict=True)
    ]


def identify_one(device: int, seen: Seen) -> IdentifiedDisk:
    """Identify a disk from its requests.

    Parameters
    ----------
    device : int
    seen : Seen

    Returns
    -------
    IdentifiedDisk
    """
    terms = _terms(seen)
    windows = _windows(seen.issue, seen.complete, terms)
    times, error = _fitted(windows)
    together = _is_together(seen, terms @ times[1:])
    if together:
        windows = _batches(seen, terms)
        times, error = _fitted(windows)
    pipe_ns = terms @ times[1:]
    submission_ns = usual_submission_ns(seen)
    refused = seen.issue > seen.first
    descriptors, agree = _ring(seen, refused)
    overtaken = _overtaken(seen, submission_ns)
    return IdentifiedDisk(
        device=device,
        n_requests=len(seen),
        pipe=tuple(int(ns) for ns in np.rint(times[1:] * _SCALES)),
        delay_ns=round(_delay_ns(seen, pipe_ns, float(times[0]) + submission_ns)),
        descriptors=descriptors,
        n_refused=int(refused.sum()),
        agree=agree,
        requeue_ns=_requeue_ns(seen, refused),
        together=together,
        scheduler=Scheduler.DEADLINE if overtaken > 0.01 else Scheduler.NONE,
        overtaken=overtaken,
        explained=1.0 - error,
    )


def with_delay_of(
    disk: IdentifiedDisk, batches: Iterable[pa.RecordBatch]
) -> IdentifiedDisk | None:
    """Return a disk with the mean of its delay and of that in another recording.

    The same machine gives a time again within some percent: neither is the nearer one.

    Parameters
    ----------
    disk : IdentifiedDisk
    batches : iterable of RecordBatch
        Rows of that recording, in which one ran alone. What its busy periods take
        beside the disk's pipe, and from Q to D, is the delay there.

    Returns
    -------
    IdentifiedDisk or None
        None where too few requests completed.
    """
    (seen,) = read_requests(batches, [disk.device], None)
    if len(seen) < FEWEST:
        return None
    times = np.array(disk.pipe) / _SCALES
    terms = _terms(seen)
    windows = (
        _batches(seen, terms)
        if disk.together
        else _windows(seen.issue, seen.complete, terms)
    )
    rest = (windows[:, 0] - windows[:, 2:] @ times)[windows[:, 1] == 1]
    other_ns = max(0.0, _usual(rest) + usual_submission_ns(seen))
    return structs.replace(disk, delay_ns=round((disk.delay_ns + other_ns) / 2))


# -- the pipe -------------------------------------------------------------------------


def _terms(seen: Seen) -> NDArray[np.float64]:
    """Return what the pipe's time is a sum of, a row for each request."""
    far = _is_random(seen)
    reads, writes = seen.op == READ, seen.op == WRITE
    nbytes = seen.nbytes.astype(np.float64)
    return np.stack(
        [
            *(reads, reads * nbytes, reads & far),
            *(writes, writes * nbytes, writes & far),
            ~(reads | writes),
        ],
        axis=1,
    ).astype(np.float64)


def _is_random(seen: Seen) -> NDArray[np.bool_]:
    """Return a mask of the requests far from where their cgroup's last one ended."""
    moves = ((seen.op == READ) | (seen.op == WRITE)) & (seen.nbytes > 0)
    rows = np.flatnonzero(moves)
    rows = rows[np.argsort(seen.cgroup[rows], kind="stable")]
    far = np.zeros(len(seen), np.bool_)
    end = seen.sector[rows] + (seen.nbytes[rows] >> 9)
    same = seen.cgroup[rows][1:] == seen.cgroup[rows][:-1]
    far[rows[1:]] = same & (np.abs(seen.sector[rows][1:] - end[:-1]) > NEAR_SECTORS)
    return far


def _windows(
    issue: NDArray[np.int64], complete: NDArray[np.int64], terms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the times in which the device was busy throughout.

    A busy period ends when all that was issued has completed. Long ones are cut at
    completions.

    Returns
    -------
    ndarray of float64, shape (n_windows, 2 + n_terms)
        Length, 1 if the period begins there, and the sums of what completed.
    """
    order = np.lexsort((complete, issue))
    ends = np.maximum.accumulate(complete[order])
    begins = np.ones(len(order), np.bool_)
    begins[1:] = issue[order][1:] >= ends[:-1]
    period = np.cumsum(begins)
    by_end = np.lexsort((complete[order], period))
    done = complete[order][by_end]
    first = np.flatnonzero(begins)
    size = np.diff(np.append(first, len(order)))
    # the last completions of the windows
    n_cuts = np.maximum(1, size // WINDOW)
    of = np.repeat(np.arange(len(first)), n_cuts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(n_cuts) - n_cuts, n_cuts)
    last = first[of] + size[of] * (number + 1) // n_cuts[of] - 1
    since = np.where(number == 0, issue[order][first[of]], 0)
    inner = np.flatnonzero(number > 0)
    since[inner] = done[last[inner - 1]]
    sums = np.cumsum(terms[order][by_end], axis=0)
    until = sums[last]
    until[1:] -= sums[last[:-1]]
    return np.column_stack([done[last] - since, number == 0, until])


def _fitted(windows: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the constant of a busy period, then the pipe's times, and what is left.

    What requests take is the pipe's, unless a constant is clearly nearer: of a device
    that never had two requests at once nothing says that it could serve them at once.
    """
    times, left = nonnegative(windows[:, 2:], windows[:, 0])
    others, less = nonnegative(windows[:, 1:], windows[:, 0])
    if less < left * (1 - MARGIN):
        return others, less
    return np.append(0.0, times), left


def nonnegative(
    terms: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Solve by least squares, without negative numbers.

    Parameters
    ----------
    terms : ndarray of float64, shape (n, n_terms)
    values : ndarray of float64, shape (n,)
        Lengths: their spread grows with them, and they weigh less.

    Returns
    -------
    tuple of ndarray of float64, shape (n_terms,), and float
        The numbers, and the share of the squares that they leave. What the rows
        cannot tell from other terms is 0.
    """
    longer = values > 0
    weights = 1 / np.sqrt(values[longer])
    rows, wanted = terms[longer] * weights[:, None], values[longer] * weights
    squares, mixed = rows.T @ rows, rows.T @ wanted
    total = float(wanted @ wanted)
    best, least = np.zeros(terms.shape[1]), total
    there = [i for i in range(terms.shape[1]) if squares[i, i] > 0]
    for chosen in _subsets(there):
        # of one scale, so that the rank tells columns that say the same
        scale = np.sqrt(np.diag(squares)[chosen])
        solved, _, rank, _ = np.linalg.lstsq(
            squares[np.ix_(chosen, chosen)] / np.outer(scale, scale),
            mixed[chosen] / scale,
            rcond=1e-10,
        )
        if rank < len(chosen) or (solved < 0).any():
            continue
        found = np.zeros(terms.shape[1])
        found[chosen] = solved / scale
        left = float(total - 2 * found @ mixed + found @ squares @ found)
        if left < least * (1 - 1e-9):
            best, least = found, left
    return best, least / total if total else 0.0


def _subsets(of: list[int]) -> Iterator[list[int]]:
    for count in range(1, len(of) + 1):
        for chosen in combinations(of, count):
            yield list(chosen)


def _delay_ns(seen: Seen, pipe_ns: NDArray[np.float64], otherwise: float) -> float:
    """Return what requests take besides the pipe's time while they are alone.

    Reads and writes each count as often as there are any. Of one that hardly ever was
    alone it is what busy periods take besides, with the submission.
    """
    alone = ~_found_others(seen)
    alone[:-1] &= seen.complete[:-1] <= seen.queue[1:]
    took = seen.complete - seen.queue - pipe_ns
    fewest = max(FEWEST, ALONE_SHARE * len(seen))
    sum_ns = count = 0.0
    for op in (READ, WRITE):
        of_op = seen.op == op
        mine, delay_ns = took[alone & of_op], otherwise
        if len(mine) >= fewest:
            delay_ns = _usual(mine)
        sum_ns += float(of_op.sum()) * delay_ns
        count += float(of_op.sum())
    return max(0.0, sum_ns / count) if count else otherwise


def _usual(took: NDArray[np.float64]) -> float:
    """Return the mean of times without what happens once in a hundred times."""
    return float(took[took <= np.quantile(took, 0.99)].mean())


# -- the queue ------------------------------------------------------------------------


def usual_submission_ns(seen: Seen) -> float:
    """Return what passes until the driver has a request that finds nobody.

    Parameters
    ----------
    seen : Seen

    Returns
    -------
    float
        Median of the time from queue to first issue; 0 if all find others.
    """
    unhindered = ~_found_others(seen)
    if not unhindered.any():
        return 0.0
    return float(np.median((seen.first - seen.queue)[unhindered]))


def _found_others(seen: Seen) -> NDArray[np.bool_]:
    """Return a mask of the requests queued while another one was in flight."""
    done = np.maximum.accumulate(seen.complete)
    found = np.zeros(len(seen), np.bool_)
    found[1:] = done[:-1] > seen.queue[1:]
    return found


def _ring(seen: Seen, refused: NDArray[np.bool_]) -> tuple[int, float]:
    """Return the ring that explains most refusals, and their share; 0 if there is none.

    It holds what was in the device then, and not also what was refused.
    """
    if not refused.any():
        return 0, 0.0
    pages = -(-seen.nbytes // PAGE_BYTES)
    pages[(seen.op != READ) & (seen.op != WRITE)] = 0
    wanted = pages + OWN_DESCRIPTORS
    at = seen.first[refused]
    shares: dict[int, float] = {}
    size = 2 * OWN_DESCRIPTORS
    while size <= MOST_DESCRIPTORS:
        taken = np.minimum(wanted, size)
        used = _sum_at(seen.issue, taken, at, "left")
        used -= _sum_at(seen.complete, taken, at, "right")
        fits = (used <= size) & (used + taken[refused] > size)
        shares[size] = float(fits.mean())
        size *= 2
    # requests that fill a small one fill a larger one too, if they are large enough
    most = max(shares.values())
    best = max(size for size, share in shares.items() if share > most - MARGIN)
    return best, shares[best]


def _sum_at(
    times: NDArray[np.int64],
    values: NDArray[np.int64],
    at: NDArray[np.int64],
    side: Any,
) -> NDArray[np.int64]:
    """Return the sum of the values up to some times."""
    order = np.argsort(times, kind="stable")
    sums = np.append(0, np.cumsum(values[order]))
    return np.asarray(sums[np.searchsorted(times[order], at, side)])


def _requeue_ns(seen: Seen, refused: NDArray[np.bool_]) -> int:
    """Return how long after a completion a refused request was issued again."""
    done = np.sort(seen.complete)
    again = seen.issue[refused]
    before = np.searchsorted(done, again, side="right") - 1
    since = (again - done[np.maximum(before, 0)])[before >= 0]
    return round(float(since.mean())) if len(since) else 0


def _is_together(seen: Seen, pipe_ns: NDArray[np.float64]) -> bool:
    """Return True if completions come in bursts, faster than the pipe serves requests.

    Of requests that the device had when the one before them completed, most did so.
    """
    order = np.argsort(seen.complete, kind="stable")
    done = seen.complete[order]
    had = seen.issue[order][1:] < done[:-1]
    at_once = np.diff(done) < pipe_ns[order][1:] / 2
    return bool(had.sum() >= FEWEST) and bool(at_once[had].mean() > 0.5)


def _batches(seen: Seen, terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how long the device took to serve what it then answered together.

    From the first issue, or the last answer if that was later, to the completions in
    the mean: they follow one another as fast as the driver handles them. What is issued
    after the first of them is of the next batch. As `_windows`.
    """
    order = np.argsort(seen.complete, kind="stable")
    issue, complete = seen.issue[order], seen.complete[order]
    first = [0]
    answered_ns = int(complete[0])
    for i, issue_ns in enumerate(issue.tolist()):
        if issue_ns >= answered_ns:
            first.append(i)
            answered_ns = int(complete[i])
    begins = np.minimum.reduceat(issue, first)
    answered = complete[first]
    begins[1:] = np.maximum(begins[1:], answered[:-1])
    sums = np.add.reduceat(terms[order], first, axis=0)
    sizes = np.diff(np.append(first, len(order)))
    ends = np.add.reduceat(complete, first) / sizes
    return np.column_stack([ends - begins, np.ones(len(first)), sums])


def _overtaken(seen: Seen, submission_ns: float) -> float:
    """Return how often what was issued next had come before what was issued last.

    Of the pairs, one behind the other, that waited at the same time. Processors that
    submit side by side overtake one another too, by less than that takes.
    """
    order = np.lexsort((seen.queue, seen.issue))
    queue, issue = seen.queue[order], seen.issue[order]
    waited = queue[1:] < issue[:-1]
    if waited.sum() < FEWEST:
        return 0.0
    return float((queue[1:] < queue[:-1] - submission_ns)[waited].mean())
