"""Find the device model under which a trace's replay comes nearest to its recording."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.calibration.fit import Line, fit_line, iocost_terms
from replay.calibration.samples import OPS, Samples, take_samples
from replay.errors import ScenarioError
from replay.replayer import run
from replay.scenario.load import Scenario
from replay.trace.convert import open_or_convert
from replay.trace.file import Progress, Trace
from replay.trace.formats.options import FormatOptions
from replay.trace.schema import OP_CODES

#: What ``[service]`` takes at most.
MOST_NS_PER_BYTE: Final = 2000
MOST_BASE_NS: Final = 10**12
#: How latencies are compared: the mean (None) and ranks.
MEASURES: Final = {"mean_ns": None, "p50_ns": 0.5, "p99_ns": 0.99}


@dataclass(frozen=True, slots=True)
class Fit:
    """What was measured from issue to completion, and what the model gives.

    Attributes
    ----------
    recorded, replayed : dict of str to int
        ``mean_ns``, ``p50_ns`` and ``p99_ns``.
    """

    recorded: dict[str, int]
    replayed: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A device model, and how well it fits.

    Attributes
    ----------
    trace : str
    device : str
        "254:32".
    parallel : int or None
        Requests served at once; None where one lock serves them in turn.
    lines : dict of str to Line
        By operation, "read" and "write", those that were seen.
    fits : dict of str to Fit
        By operation: the trace replayed with this model, under its own driver.
    """

    trace: str
    device: str
    parallel: int | None
    lines: dict[str, Line]
    fits: dict[str, Fit]

    @property
    def iocost(self) -> str:
        """Return the line of ``io.cost.model`` for this device."""
        terms = []
        for op, line in self.lines.items():
            values = iocost_terms(line, self.parallel or 1)
            terms += [
                f"{op[0]}{name}={value}"
                for name, value in zip(
                    ("bps", "seqiops", "randiops"), values, strict=True
                )
            ]
        return f"{self.device} ctrl=user model=linear {' '.join(terms)}"


def calibrate(
    trace: Trace | str | Path | Sequence[str | Path],
    scenario: Mapping[str, Any] | str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    device: str | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
) -> Calibration:
    """Fit a device model to a trace.

    Parameters
    ----------
    trace : Trace, path or sequence of paths
        As for `replay.run`: of the device itself, or of a loop device whose file lies
        in memory.
    scenario : mapping, path or None
        How the trace was taken: its ``[trace]`` and ``[[assign]]``.
    overrides : sequence of str
        ``KEY=VALUE``, as on the command line.
    device : str or None
        "254:32"; needed where the trace has more than one.
    progress : callable or None
        Told of what is read.
    format : str, FormatOptions or None
        As for `replay.convert`.

    Returns
    -------
    Calibration

    Raises
    ------
    TraceError
        The trace cannot be read.
    ScenarioError
        The scenario is not valid, or there is nothing to fit.

    Notes
    -----
    For each number of requests that the device might serve at once (powers of two, up
    to the most that were in flight) service times are what remains of issue to
    completion when the wait for a place is taken out; a line for each operation is
    fitted to them. The trace is then replayed with each of these models. Of them the
    one is kept whose means, medians and 99th percentiles come nearest, by ratios.
    The samples, and a row of each request while a model is tried, are held in memory:
    about 300 bytes a request. A filtered trace will do for a long one.
    """
    opened = (
        trace
        if isinstance(trace, Trace)
        else open_or_convert(trace, progress=progress, format=format)
    )
    try:
        return _calibrate(opened, scenario, overrides, device)
    finally:
        if opened is not trace:
            opened.close()


def _calibrate(
    trace: Trace,
    scenario: Mapping[str, Any] | str | Path | None,
    overrides: Sequence[str],
    device: str | None,
) -> Calibration:
    given = [*overrides]
    if device is not None:
        given.append(f'trace.devices=["{device}"]')
    as_taken = _load(scenario, given).bind(trace)
    samples = take_samples(trace, as_taken)
    given += [
        f"driver.policy={as_taken.scenario.trace.policy}",
        f"driver.direct_io={str(samples.parallel).lower()}",
        "arrivals.event=issue",
        # a process that waits for slower requests queues later
        "arrivals.mode=dependent",
        "service.model=linear",
    ]
    recorded = {
        op: _measure(samples.complete_ns[mask] - samples.issue_ns[mask])
        for op, mask in _by_op(samples).items()
    }
    best: Calibration | None = None
    least = math.inf
    for parallel in _candidates(samples):
        service_ns = samples.service_ns(parallel or 1)
        lines = {
            op: fit_line(samples.nbytes[mask], samples.random[mask], service_ns[mask])
            for op, mask in _by_op(samples).items()
        }
        for op, line in lines.items():
            if line.ns_per_byte > MOST_NS_PER_BYTE or line.base_ns > MOST_BASE_NS:
                raise ScenarioError(
                    f"{trace.path}: {op}s of {samples.device} seem to take "
                    f"{line.base_ns:,.0f} ns and {line.ns_per_byte:,.0f} ns a byte: no "
                    "model of a device; is the trace of the device itself?"
                )
        model = _load(scenario, [*given, *service_keys(lines, parallel)])
        replayed = _replayed(trace, model, list(recorded))
        off = sum(
            abs(math.log(max(1, replayed[op][name]) / max(1, recorded[op][name])))
            for op in recorded
            for name in MEASURES
        )
        if off < least:
            least = off
            best = Calibration(
                trace=str(trace.path),
                device=samples.device,
                parallel=parallel,
                lines=lines,
                fits={op: Fit(recorded[op], replayed[op]) for op in recorded},
            )
    assert best is not None
    return best


def service_keys(lines: Mapping[str, Line], parallel: int | None) -> list[str]:
    """Return the keys of ``[service]``, as ``KEY=VALUE``.

    Parameters
    ----------
    lines : mapping of str to Line
        By operation; one that was not seen keeps its default.
    parallel : int or None

    Returns
    -------
    list of str
    """
    keys = [] if parallel is None else [f"service.parallel={parallel}"]
    for op, line in lines.items():
        keys += [
            f"service.{op}.base_ns={round(line.base_ns)}",
            f"service.{op}.ns_per_byte={line.ns_per_byte:.6f}",
            f"service.{op}.random_ns={round(line.random_ns)}",
        ]
    return keys


def _load(
    scenario: Mapping[str, Any] | str | Path | None, overrides: Sequence[str]
) -> Scenario:
    if isinstance(scenario, Mapping):
        return Scenario.from_dict(scenario, overrides=overrides)
    return Scenario.load(scenario, overrides=overrides)


def _candidates(samples: Samples) -> list[int | None]:
    """Return how many requests the device might serve at once."""
    if not samples.parallel:
        return [None]
    found: list[int | None] = [1]
    most = samples.depth()
    while (last := found[-1]) is not None and last < most:
        found.append(min(last * 2, most))
    return found


def _by_op(samples: Samples) -> dict[str, NDArray[np.bool_]]:
    masks = {op: samples.op == OP_CODES[op] for op in OPS}
    return {op: mask for op, mask in masks.items() if mask.any()}


def _measure(times_ns: NDArray[np.int64]) -> dict[str, int]:
    """Return mean and nearest ranks, ns; 0 where nothing completed."""
    if not len(times_ns):
        return dict.fromkeys(MEASURES, 0)
    ordered = np.sort(times_ns)
    return {
        name: int(ordered.mean())
        if rank is None
        else int(ordered[max(0, math.ceil(rank * len(ordered)) - 1)])
        for name, rank in MEASURES.items()
    }


def _replayed(
    trace: Trace, model: Scenario, ops: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Replay a trace; return its totals by operation, all cgroups together."""
    result = run(trace, model, requests=True)
    table = result.requests
    assert table is not None
    rows = table["row"].to_numpy()
    ends = table["completion_ns"].to_numpy(zero_copy_only=False)
    seen = ~np.isnan(ends)
    times = ends[seen].astype(np.int64)
    times -= table["arrival_ns"].to_numpy(zero_copy_only=False)[seen].astype(np.int64)
    codes = np.concatenate(
        [np.asarray(batch["op"].indices) for batch in trace.batches()]
    )[rows[seen]]
    return {op: _measure(times[codes == OP_CODES[op]]) for op in ops}
