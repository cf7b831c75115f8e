"""Service times by size, counted in cells, and their distance from the lines."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from replay.calibration.fit import FittedLine
from replay.calibration.samples import OPS, DeviceSamples
from replay.trace.file.schema import OP_CODES

#: Cells of a doubling of the size, and of a decade of time.
_A_DOUBLING: Final = 2
_A_DECADE: Final = 10
#: Steps of a ratio by ten: 2.3 % each.
_RATIO_STEPS: Final = 100
_QUANTILES: Final = (0.1, 0.5, 0.9)


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
            size = np.floor(np.log2(piece.nbytes[mine]) * _A_DOUBLING)
            level = np.floor(np.log10(service) * _A_DECADE)
            places, numbers = np.unique(
                np.stack([size, level]).astype(np.int64), axis=1, return_counts=True
            )
            for at, level_at, n in zip(*places.tolist(), numbers.tolist(), strict=True):
                counts[op, at, level_at] += n
            said = (
                line.base_ns
                + line.ns_per_byte * piece.nbytes[mine]
                + line.random_ns * piece.random[mine]
            )
            ratio = np.log10(service / np.maximum(said, 1)) * _RATIO_STEPS
            ratios[op].update(np.round(ratio).astype(np.int64).tolist())
    cells = [
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
    return cells, {op: _spread(found) for op, found in ratios.items() if found}


def _spread(found: Counter[int]) -> Spread:
    steps = np.array(sorted(found))
    ranks = np.cumsum([found[step] for step in steps.tolist()])
    at = np.searchsorted(ranks, np.array(_QUANTILES) * ranks[-1])
    return Spread(*(10 ** (steps[at] / _RATIO_STEPS)).tolist())
