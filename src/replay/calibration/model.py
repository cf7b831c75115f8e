"""Find the device model under which a trace's replay comes nearest to its recording."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from replay.calibration.cells import ServiceCell, Spread, service_cells
from replay.calibration.disk import DiskCalibration, calibrate_disk, shows_queue
from replay.calibration.fit import FittedLine, LineFit, iocost_terms
from replay.calibration.samples import OPS, DeviceSamples, Piece, take_samples
from replay.calibration.times import MEASURES, Times
from replay.capture.facts import recorded_facts
from replay.common.errors import ScenarioError
from replay.common.shown import Drawn
from replay.results.merge import merge_latency
from replay.runner.run import run
from replay.scenario.bind import bind
from replay.scenario.keys.kernel import is_loop
from replay.scenario.keys.load import Recipe, Scenario
from replay.scenario.keys.table import MOST_BASE_NS, MOST_NS_PER_BYTE
from replay.scenario.setup.iomax import ALL_AS_ONE
from replay.trace.convert import open_or_convert
from replay.trace.file.read import Progress, Trace
from replay.trace.file.schema import OP_CODES
from replay.trace.formats.options import FormatOptions


@dataclass(frozen=True, slots=True)
class Fit:
    """Times from issue to completion, measured and by the model.

    Attributes
    ----------
    recorded, replayed : dict of str to int
        ``mean_ns``, ``p50_ns`` and ``p99_ns``, as the latency table has them.
    """

    recorded: dict[str, int]
    replayed: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Drawn):
    """A device model, and how well it fits.

    Attributes
    ----------
    trace : str
    device : str
        "254:32".
    parallel : int or None
        Requests served at once; None where one lock serves them in turn.
    lines : dict of str to FittedLine
        By operation, "read" and "write", those that were seen.
    fits : dict of str to Fit
        By operation: the trace replayed with this model, under its own driver.
    cells : list of ServiceCell
        The service times that the lines were fitted to, counted.
    spreads : dict of str to Spread
        By operation: how far these lie from the line.
    """

    trace: str
    device: str
    parallel: int | None
    lines: dict[str, FittedLine]
    fits: dict[str, Fit]
    cells: list[ServiceCell]
    spreads: dict[str, Spread]

    def __repr__(self) -> str:
        return (
            f"<Calibration of {self.device} by {self.trace}: {', '.join(self.lines)}>"
        )

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
    alone: Trace | str | Path | Sequence[str | Path] | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
) -> Calibration | DiskCalibration:
    """Fit a device model to a trace.

    Parameters
    ----------
    trace : Trace, path or sequence of paths
        As for `replay.run`: of the device itself, or of a loop device whose file lies
        in memory.
    scenario : mapping, path or None
        How the trace was taken: its ``[trace]`` and ``[[assign]]``. What lies in a
        directory of `replay record` holds where it says nothing.
    overrides : sequence of str
        ``KEY=VALUE``, as on the command line.
    device : str or None
        "254:32"; needed where the trace has more than one.
    alone : Trace, path or sequence of paths or None
        Another recording of a plain disk, in which one of the trace's cgroups had it to
        itself: what a request takes beside its share of the disk is taken from there.
    progress : callable or None
        Told of what is read.
    format : str, FormatOptions or None
        As for `replay.convert`.

    Returns
    -------
    Calibration or DiskCalibration
        The second of a plain disk.

    Raises
    ------
    TraceError
        The trace cannot be read.
    ScenarioError
        The scenario is not valid, or there is nothing to fit.

    Notes
    -----
    A plain disk, with Q and D events, is identified from the trace, and judged by what
    its first half tells of the rest: see `replay.calibration.disk`. Of others:

    For each number of requests that the device might serve at once (powers of two, up
    to the most that were in flight) service times are what remains of issue to
    completion when the wait for a place is taken out; a line for each operation is
    fitted to them. The trace is then replayed with each of these models. Of them the
    one is kept whose means, medians and 99th percentiles come nearest, by ratios.
    What is known of each request, about 40 bytes, lies in temporary files (``TMPDIR``).
    The replays take the memory of any with dependent arrivals, which look at the whole
    trace beforehand: about 150 bytes a request for a moment, 50 meanwhile.
    """
    facts = {} if isinstance(trace, Trace) else recorded_facts(trace)
    recipe = Recipe(given=scenario, facts=facts)
    with ExitStack() as stack:

        def opened(one: Trace | str | Path | Sequence[str | Path]) -> Trace:
            if isinstance(one, Trace):
                return one
            return stack.enter_context(
                open_or_convert(one, progress=progress, format=format)
            )

        beside = None if alone is None else opened(alone)
        return _calibrate(opened(trace), recipe, overrides, device, beside)


def _calibrate(
    trace: Trace,
    recipe: Recipe,
    overrides: Sequence[str],
    device: str | None,
    alone: Trace | None,
) -> Calibration | DiskCalibration:
    given = [*overrides, "arrivals.event=issue"]
    if device is not None:
        given.append(f'trace.devices=["{device}"]')
    as_taken = bind(recipe.scenario(given), trace)
    if len(as_taken.device_names) == 1:
        number, name = int(as_taken.setup.devices[0]), as_taken.device_names[0]
        if number != ALL_AS_ONE and not is_loop(number) and shows_queue(trace):
            return calibrate_disk(trace, recipe, overrides, number, name, alone)
    if alone is not None:
        raise ScenarioError(
            f"{trace.path}: a recording of who ran alone says more of one plain disk "
            "only: leave --alone out, or name the disk by --device"
        )
    with take_samples(trace, as_taken) as samples:
        given += [
            f"driver.policy={as_taken.scenario.trace.policy}",
            f"driver.direct_io={str(samples.parallel).lower()}",
            # a process that waits for slower requests queues later
            "arrivals.mode=dependent",
            "service.model=linear",
        ]
        recorded = _recorded(samples)
        best: Calibration | None = None
        least = math.inf
        for parallel in _candidates(samples):
            lines = fit_lines(samples, parallel or 1)
            _check(trace, samples.device, lines)
            model = recipe.scenario([*given, *service_keys(lines, parallel)])
            replayed = _replayed(trace, model, list(recorded))
            off = sum(
                abs(math.log(max(1, replayed[op][name]) / max(1, recorded[op][name])))
                for op in recorded
                for name in MEASURES
            )
            if off < least:
                least = off
                cells, spreads = service_cells(samples, parallel or 1, lines)
                best = Calibration(
                    trace=str(trace.path),
                    device=samples.device,
                    parallel=parallel,
                    lines=lines,
                    fits={op: Fit(recorded[op], replayed[op]) for op in recorded},
                    cells=cells,
                    spreads=spreads,
                )
    assert best is not None
    return best


def service_keys(lines: Mapping[str, FittedLine], parallel: int | None) -> list[str]:
    """Return the keys of ``[service]``, as ``KEY=VALUE``.

    Parameters
    ----------
    lines : mapping of str to FittedLine
        By operation; one that was not seen keeps its default.
    parallel : int or None

    Returns
    -------
    list of str
    """
    keys = [] if parallel is None else [f"service.parallel={parallel}"]
    for op, line in lines.items():
        keys += [f"service.{op}.{name}={value}" for name, value in line.values.items()]
    return keys


def _candidates(samples: DeviceSamples) -> list[int | None]:
    """Return how many requests the device might serve at once."""
    if not samples.parallel:
        return [None]
    found: list[int | None] = [1]
    most = samples.depth()
    while (last := found[-1]) is not None and last < most:
        found.append(min(last * 2, most))
    return found


def _by_op(piece: Piece) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the operations, each with which samples are of it."""
    for op in OPS:
        yield op, piece.op == OP_CODES[op]


def _recorded(samples: DeviceSamples) -> dict[str, dict[str, int]]:
    """Return the recorded times by operation, those that were seen."""
    found: dict[str, Times] = {}
    for piece in samples.pieces(1):
        for op, mask in _by_op(piece):
            if mask.any():
                times = (piece.complete_ns - piece.issue_ns)[mask]
                found.setdefault(op, Times()).add(times)
    return {op: found[op].measures() for op in OPS if op in found}


def fit_lines(samples: DeviceSamples, parallel: int) -> dict[str, FittedLine]:
    """Fit a line for each operation that was seen.

    Parameters
    ----------
    samples : DeviceSamples
    parallel : int
        Requests that the device serves at once.

    Returns
    -------
    dict of str to FittedLine
    """
    fits = {op: LineFit() for op in OPS}
    for piece in samples.pieces(parallel):
        for op, mask in _by_op(piece):
            fits[op].add(piece.nbytes[mask], piece.random[mask], piece.service_ns[mask])
    found = {op: fit.line() for op, fit in fits.items()}
    return {op: line for op, line in found.items() if line is not None}


def _check(trace: Trace, device: str, lines: Mapping[str, FittedLine]) -> None:
    """Refuse what ``[service]`` does not take."""
    for op, line in lines.items():
        if (
            line.ns_per_byte > MOST_NS_PER_BYTE
            or max(line.base_ns, line.random_ns) > MOST_BASE_NS
        ):
            raise ScenarioError(
                f"{trace.path}: {op}s of {device} seem to take "
                f"{max(line.base_ns, line.random_ns):,} ns and {line.ns_per_byte:,.0f} "
                "ns a byte: no model of a device; is the trace of the device itself?"
            )


def _replayed(
    trace: Trace, model: Scenario, ops: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Replay a trace; return its totals by operation, all cgroups together."""
    result = run(trace, model)
    of_total = pc.field("stage") == "total"
    merged = merge_latency(
        result.latency.filter(of_total), result.histograms.filter(of_total), by=["op"]
    )
    found = {row["op"]: row for row in merged.to_pylist()}
    return {
        op: {name: found[op][name] if op in found else 0 for name in MEASURES}
        for op in ops
    }
