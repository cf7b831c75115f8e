"""Service times by size, counted in cells, and their distance from the lines."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.calibration.fit import FittedLine
from replay.calibration.samples import OPS, DeviceSamples
from replay.runner.seen import Seen
from replay.trace.file.schema import OP_CODES

#: Cells of a doubling of the size, and of a decade of time.
_A_DOUBLING: Final = 2
_A_DECADE: Final = 10
#: Steps of a ratio by ten: 2.3 % each.
_RATIO_STEPS: Final = 100
_QUANTILES: Final = (0.1, 0.5, 0.9)
#: Requests of an operation and a size whose quantiles say something.
FEWEST_ALONE: Final = 10


class ServiceCell(NamedTuple):
    """Requests of like size that took a like time.

    Attributes
    ----------
    op : str
    low_bytes, high_bytes : float
    low_ns, high_ns : float
        Times below 1 ns count as 1 ns.
    requests : int
    """

    op: str
    low_bytes: float
    high_bytes: float
    low_ns: float
    high_ns: float
    requests: int


class Spread(NamedTuple):
    """Quantiles of service time divided by the line's, within 2.3 %.

    Attributes
    ----------
    p10, p50, p90 : float
    """

    p10: float
    p50: float
    p90: float


def service_cells(
    samples: DeviceSamples, parallel: int, lines: Mapping[str, FittedLine]
) -> tuple[list[ServiceCell], dict[str, Spread]]:
    """Count the samples of a device by operation, size and service time.

    Parameters
    ----------
    samples : DeviceSamples
    parallel : int
        Requests that the device serves at once, as for `DeviceSamples.pieces`.
    lines : mapping of str to FittedLine
        By operation.

    Returns
    -------
    tuple of list of ServiceCell and dict of str to Spread
        The spread by operation.
    """
    counts: Counter[tuple[str, int, int]] = Counter()
    ratios: dict[str, Counter[int]] = {op: Counter() for op in lines}
    for piece in samples.pieces(parallel):
        for op in OPS:
            mine = (piece.op == OP_CODES[op]) & (piece.nbytes > 0)
            if op not in lines or not mine.any():
                continue
            line = lines[op]
            service = np.maximum(piece.service_ns[mine], 1).astype(np.float64)
            for at, n in _counted(piece.nbytes[mine], service):
                counts[op, *at] += n
            said = (
                line.base_ns
                + line.ns_per_byte * piece.nbytes[mine]
                + line.random_ns * piece.random[mine]
            )
            ratio = np.log10(service / np.maximum(said, 1)) * _RATIO_STEPS
            ratios[op].update(np.round(ratio).astype(np.int64).tolist())
    return _cells(counts), {op: _spread(found) for op, found in ratios.items() if found}


class AloneTimes(NamedTuple):
    """Times in a disk of requests of like size that had it to themselves.

    Attributes
    ----------
    op : str
    nbytes : float
        Their size in the mean.
    requests : int
    p10_ns, p50_ns, p90_ns : float
    """

    op: str
    nbytes: float
    requests: int
    p10_ns: float
    p50_ns: float
    p90_ns: float


class Sizes(NamedTuple):
    """Lengths of an operation's requests, and which there are most of.

    Attributes
    ----------
    least, most, usual : int
        Bytes.
    """

    least: int
    most: int
    usual: int


def sizes_of(seen: Seen) -> dict[str, Sizes]:
    """Return the sizes of reads and of writes, where there are any."""
    found = {}
    for op in OPS:
        nbytes = seen.nbytes[(seen.op == OP_CODES[op]) & (seen.nbytes > 0)]
        if len(nbytes):
            sizes, counts = np.unique(nbytes, return_counts=True)
            usual = sizes[np.argmax(counts)]
            found[op] = Sizes(int(sizes[0]), int(sizes[-1]), int(usual))
    return found


def disk_cells(seen: Seen) -> tuple[list[ServiceCell], list[AloneTimes]]:
    """Count the times from the last issue to completion of a disk's requests.

    Parameters
    ----------
    seen : Seen

    Returns
    -------
    tuple of list of ServiceCell and list of AloneTimes
        All reads and writes; and by operation and size those that met nobody in the
        device, where there are `FEWEST_ALONE` of them.
    """
    counts: Counter[tuple[str, int, int]] = Counter()
    alone_times = []
    alone = _alone(seen)
    took = np.maximum(seen.complete - seen.issue, 1).astype(np.float64)
    for op in OPS:
        mine = (seen.op == OP_CODES[op]) & (seen.nbytes > 0)
        for at, n in _counted(seen.nbytes[mine], took[mine]):
            counts[op, *at] += n
        mine &= alone
        nbytes, times = seen.nbytes[mine], took[mine]
        place = _size_place(nbytes)
        for one in np.unique(place).tolist():
            here = place == one
            if here.sum() >= FEWEST_ALONE:
                alone_times.append(
                    AloneTimes(
                        op,
                        float(nbytes[here].mean()),
                        int(here.sum()),
                        *np.quantile(times[here], _QUANTILES).tolist(),
                    )
                )
    return _cells(counts), alone_times


def _alone(seen: Seen) -> NDArray[np.bool_]:
    """Return a mask of requests that had the device to themselves throughout."""
    order = np.argsort(seen.issue, kind="stable")
    issue, complete = seen.issue[order], seen.complete[order]
    alone = np.ones(len(order), np.bool_)
    alone[1:] = issue[1:] >= np.maximum.accumulate(complete)[:-1]
    alone[:-1] &= issue[1:] >= complete[:-1]
    found = np.zeros(len(order), np.bool_)
    found[order] = alone
    return found


def _size_place(nbytes: NDArray[np.int64]) -> NDArray[np.int64]:
    place: NDArray[np.int64] = np.floor(np.log2(nbytes) * _A_DOUBLING).astype(np.int64)
    return place


def _counted(
    nbytes: NDArray[np.int64], service_ns: NDArray[np.float64]
) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield the places of cells, by size and time, and how many lie there."""
    level = np.floor(np.log10(service_ns) * _A_DECADE).astype(np.int64)
    places, numbers = np.unique(
        np.stack([_size_place(nbytes), level]), axis=1, return_counts=True
    )
    for size, level_at, n in zip(*places.tolist(), numbers.tolist(), strict=True):
        yield (size, level_at), n


def _cells(counts: Counter[tuple[str, int, int]]) -> list[ServiceCell]:
    return [
        ServiceCell(
            op,
            2 ** (size / _A_DOUBLING),
            2 ** ((size + 1) / _A_DOUBLING),
            10 ** (level / _A_DECADE),
            10 ** ((level + 1) / _A_DECADE),
            n,
        )
        for (op, size, level), n in sorted(counts.items())
    ]


def _spread(found: Counter[int]) -> Spread:
    steps = np.array(sorted(found))
    ranks = np.cumsum([found[step] for step in steps.tolist()])
    at = np.searchsorted(ranks, np.array(_QUANTILES) * ranks[-1])
    return Spread(*(10 ** (steps[at] / _RATIO_STEPS)).tolist())
