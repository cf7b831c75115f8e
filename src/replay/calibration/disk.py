"""A plain disk, identified from a part of a trace and judged by the rest of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import structs

from replay.calibration.cells import (
    AloneTimes,
    ServiceCell,
    Sizes,
    disk_cells,
    sizes_of,
)
from replay.calibration.times import MEASURES, off_text
from replay.common.errors import ScenarioError
from replay.common.plain import plain
from replay.common.shown import Drawn
from replay.common.temporary import temporary_directory
from replay.common.text import count_text, time_text
from replay.engine.setup import PAGE_BYTES
from replay.results.merge import merge_latency
from replay.runner.disks import note_of
from replay.runner.identify import (
    FEWEST as FEWEST_SEEN,
)
from replay.runner.identify import (
    IdentifiedDisk,
    identify,
    identify_one,
    usual_submission_ns,
    with_delay_of,
)
from replay.runner.run import run
from replay.runner.seen import read_requests
from replay.scenario.keys.load import Recipe, Scenario
from replay.scenario.keys.values import DiskValues, PipeValues
from replay.scenario.setup.disk import completed
from replay.scenario.writing.toml import inline_table, value_toml
from replay.trace.convert import write_filtered
from replay.trace.file.filters import Filters
from replay.trace.file.read import Trace

#: A mean that is off by more than this factor is no prediction.
MOST_OFF: Final = 3.0
#: Cgroups with fewer requests in the part held out say nothing.
FEWEST: Final = 100
NS_PER_S: Final = 10**9


@dataclass(frozen=True, slots=True)
class Prediction:
    """Times of a cgroup's requests in the part held out, taken and predicted.

    Attributes
    ----------
    requests : int
    recorded, replayed : dict of str to int
        ``mean_ns``, ``p50_ns`` and ``p99_ns``, from queue to completion.
    """

    requests: int
    recorded: dict[str, int]
    replayed: dict[str, int]

    def off(self, name: str) -> float:
        """Return by what factor a measure is off, at least 1."""
        one, other = max(1, self.recorded[name]), max(1, self.replayed[name])
        return max(one / other, other / one)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCalibration(Drawn):
    """A disk that was identified, and how well it predicts.

    Attributes
    ----------
    trace : str
    device : str
        "254:0".
    disk : IdentifiedDisk
        Of the whole trace.
    values : DiskValues
        The same as ``[disk]``.
    from_ns : int
        Requests that were queued from here on judged what was found before.
    predictions : dict of str to Prediction
        By cgroup.
    sizes : dict of str to Sizes
        By operation, "read" and "write", those that were seen.
    beside_ns : int
        What a request that has the device to itself takes there besides the pipe.
    cells : list of ServiceCell
        The recorded times from the last issue to completion, counted.
    alone : list of AloneTimes
        Of them those of requests that had the device to themselves.
    """

    trace: str
    device: str
    disk: IdentifiedDisk
    values: DiskValues
    from_ns: int
    predictions: dict[str, Prediction]
    sizes: dict[str, Sizes]
    beside_ns: int
    cells: list[ServiceCell]
    alone: list[AloneTimes]

    def __repr__(self) -> str:
        n = len(self.predictions)
        return f"<DiskCalibration of {self.device} by {self.trace}: {n} cgroups>"

    @property
    def iocost(self) -> str:
        """Return the line of ``io.cost.model`` for this device, of what was seen."""
        terms: list[str] = []
        for op, sizes in self.sizes.items():
            terms += _iocost(op[0], self.part(op), sizes)
        return f"{self.device} ctrl=user model=linear {' '.join(terms)}"

    def part(self, op: str) -> PipeValues:
        """Return what the pipe takes for an operation, "read" or "write"."""
        return self.values.read if op == "read" else self.values.write

    def alone_ns(self, op: str, nbytes: float) -> float:
        """Return what a request takes in the device that has it to itself.

        One that is not random: it begins where its cgroup's last one ended.
        """
        part = self.part(op)
        pipe_ns = (part.base_ns or 0) + (part.ns_per_byte or 0.0) * nbytes
        return pipe_ns + self.beside_ns

    def untold(self, op: str) -> str:
        """Say why nothing is known of what a byte takes; empty where it is."""
        if self.part(op).ns_per_byte:
            return ""
        sizes = self.sizes[op]
        if sizes.least == sizes.most:
            return f"all {op}s are of {sizes.most:,} B"
        return (
            f"{op}s of {sizes.least:,} to {sizes.most:,} B take no longer by the byte"
        )

    def worst(self, measure: str) -> str | None:
        """Return the cgroup whose measure is predicted worst; None if there is none."""
        return max(
            self.predictions,
            key=lambda cgroup: self.predictions[cgroup].off(measure),
            default=None,
        )


def calibrate_disk(
    trace: Trace,
    recipe: Recipe,
    overrides: Sequence[str],
    device: int,
    name: str,
    alone: Trace | None = None,
) -> DiskCalibration:
    """Identify a disk, and judge it by a part of the trace that it was not found from.

    Parameters
    ----------
    trace : Trace
    recipe : Recipe
        How the trace was taken.
    overrides : sequence of str
    device : int
    name : str
        The device's name.
    alone : Trace or None
        Tells what a request takes beside its share of the disk.

    Returns
    -------
    DiskCalibration

    Raises
    ------
    ScenarioError
        Too little was recorded, or it does not predict the rest.
    """
    from_ns = _middle(trace, device)
    (seen,) = read_requests(trace.batches(), [device], None)
    whole = identify_one(device, seen) if len(seen) >= FEWEST_SEEN else None
    (part,) = identify(trace.batches(), [device], until_ns=from_ns)
    if whole is None or part is None:
        raise ScenarioError(
            f"{trace.path}: too few requests of {name} were seen to complete: there is "
            "nothing to fit"
        )
    if alone is not None:
        whole, part = (_beside(one, alone, name) for one in (whole, part))
    given = recipe.scenario(overrides).disk
    predictions = _judged(
        trace, recipe, overrides, completed(given, part), from_ns, name
    )
    cells, alone_times = disk_cells(seen)
    found = DiskCalibration(
        trace=str(trace.path),
        device=name,
        disk=whole,
        values=completed(given, whole),
        from_ns=from_ns,
        predictions=predictions,
        sizes=sizes_of(seen),
        beside_ns=max(0, round(whole.delay_ns - usual_submission_ns(seen))),
        cells=cells,
        alone=alone_times,
    )
    for cgroup, one in predictions.items():
        if one.off("mean_ns") > MOST_OFF:
            raise ScenarioError(
                f"{trace.path}: what the first half tells of {name} does not predict "
                f"the rest: {cgroup}'s mean is {time_text(one.recorded['mean_ns'])} "
                f"and comes out as {time_text(one.replayed['mean_ns'])}; take a longer "
                "recording, or a part that is alike throughout"
            )
    return found


def _beside(disk: IdentifiedDisk, alone: Trace, name: str) -> IdentifiedDisk:
    """Return a disk with the delay that another recording tells."""
    found = with_delay_of(disk, alone.batches())
    if found is None:
        raise ScenarioError(
            f"{alone.path}: too few requests of {name} were seen to complete to say "
            "what one takes alone"
        )
    return found


def disk_toml(found: DiskCalibration) -> str:
    """Write a disk for ``replay run -s``.

    Parameters
    ----------
    found : DiskCalibration

    Returns
    -------
    str
        TOML; how far to trust it stands in comments.
    """
    lines = [
        f"# {note_of(found.disk, found.device)}.",
        f"# From {plain(found.trace)}; judged by what its first half predicts of the",
        f"# rest ({time_text(found.from_ns)} on), each process after its own requests:",
    ]
    for cgroup, one in found.predictions.items():
        lines.append(f"# {plain(cgroup)}: {count_text(one.requests, 'request')}")
        for name in MEASURES:
            recorded, replayed = one.recorded[name], one.replayed[name]
            lines.append(
                f"#   {name.removesuffix('_ns'):<5}recorded {time_text(recorded)}, "
                f"predicted {time_text(replayed)} "
                f"({replayed / max(1, recorded) - 1:+.1%})"
            )
    lines += [
        *_trust(found),
        "",
        "[service]",
        'model = "device"',
        "",
        "[disk]",
        *_section(found.values),
    ]
    if found.iocost.endswith("linear "):
        return "\n".join([*lines, ""])
    lines += ["", "# The same for the kernel's iocost, to be written to io.cost.model:"]
    for op in found.sizes:
        if untold := found.untold(op):
            lines += [
                f"# ({untold}, so what a byte takes is not told: ns_per_byte = 0.0;",
                f"# {op[0]}bps is what {op}s of {found.sizes[op].most:,} B come to, "
                "one after the other)",
            ]
    return "\n".join([*lines, f"# {found.iocost}", ""])


def _trust(found: DiskCalibration) -> Iterator[str]:
    """Say of each measure for whom it is predicted worst, and how."""
    yield "# How far to trust it, at worst:"
    for measure in MEASURES:
        cgroup = found.worst(measure)
        if cgroup is not None:
            one = found.predictions[cgroup]
            off = off_text(one.recorded[measure], one.replayed[measure])
            yield f"#   {measure.removesuffix('_ns')} of {plain(cgroup)}: {off}"


def _section(disk: DiskValues) -> Iterator[str]:
    for name, value in structs.asdict(disk).items():
        if isinstance(value, PipeValues):
            parts = structs.asdict(value).items()
            yield f"{name} = {inline_table((k, value_toml(v)) for k, v in parts)}"
        else:
            yield f"{name} = {value_toml(value)}"


def _iocost(op: str, part: PipeValues, sizes: Sizes) -> list[str]:
    """Return the terms of one direction; none where nothing is known of its times."""
    base, rate = float(part.base_ns or 0), part.ns_per_byte or 0.0
    page = rate * PAGE_BYTES
    if base + page < 1:
        return []
    if not rate:
        # what the largest takes is put down to its bytes: bps cannot be left out
        rate = base / sizes.most
        page = rate * PAGE_BYTES
        base = 0 if sizes.least == sizes.most else base - page
    seek = base + (part.random_ns or 0)
    return [
        f"{op}bps={round(NS_PER_S / rate)}",
        f"{op}seqiops={round(NS_PER_S / (base + page))}",
        f"{op}randiops={round(NS_PER_S / (seek + page))}",
    ]


def shows_queue(trace: Trace) -> bool:
    """Return True if a trace tells queueing from issue, as other formats do not.

    Parameters
    ----------
    trace : Trace

    Returns
    -------
    bool
    """
    return any(
        pc.any(pc.greater(batch.column("issue_ns"), batch.column("queue_ns"))).as_py()
        for batch in trace.batches()
    )


def _middle(trace: Trace, device: int) -> int:
    """Return when a device's requests had half been queued."""
    queued = [
        batch.column("queue_ns").filter(pc.equal(batch.column("device"), device))
        for batch in trace.batches()
    ]
    middle = pc.quantile(pa.chunked_array(queued or [[]], pa.int64()), 0.5)[0]
    return int(middle.as_py() or 0)


def _judged(
    trace: Trace,
    recipe: Recipe,
    overrides: Sequence[str],
    disk: DiskValues,
    from_ns: int,
    name: str,
) -> dict[str, Prediction]:
    """Replay the part held out, as it was recorded and by what was found before."""
    as_found = [f"disk.{line.replace(' = ', '=', 1)}" for line in _section(disk)]
    device = f'trace.devices=["{name}"]'
    begin = f"{from_ns // NS_PER_S}.{from_ns % NS_PER_S:09}"
    with temporary_directory() as directory:
        path = Path(directory) / "rest.arrow"
        write_filtered(trace, Filters(begin=begin), path, False, None)
        both = [
            _by_cgroup(path, recipe.scenario([*overrides, device, *keys]))
            for keys in (
                ["arrivals.mode=recorded", "service.model=recorded"],
                ["arrivals.mode=dependent", "service.model=device", *as_found],
            )
        ]
    recorded, replayed = both
    return {
        cgroup: Prediction(
            row["count"],
            {measure: row[measure] for measure in MEASURES},
            {measure: replayed[cgroup][measure] for measure in MEASURES},
        )
        for cgroup, row in sorted(recorded.items())
        if row["count"] >= FEWEST and cgroup in replayed
    }


def _by_cgroup(path: Path, scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Return each cgroup's latencies, all operations together."""
    result = run(path, scenario)
    of_total = pc.field("stage") == "total"
    merged = merge_latency(
        result.latency.filter(of_total),
        result.histograms.filter(of_total),
        by=["cgroup"],
    )
    return {row["cgroup"]: row for row in merged.to_pylist()}
