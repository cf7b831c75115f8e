"""Batches of a small trace under many scenarios: pairs a second, and memory."""

import shutil
from functools import partial
from pathlib import Path

from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, peak_of, repeat, replay, run

TOP = Path(__file__).parents[2]
TRACE = TOP / "traces" / "seed-unlimited"
SCENARIO = TRACE.with_suffix(".toml")
#: Each recording is converted once and replayed under each of these.
POLICIES = ("root", "naive", "per-cgroup", "enospc")


def _fleet(directory: Path, pairs: int) -> Path:
    """Make a recording for every four pairs."""
    for number in range(pairs // len(POLICIES)):
        host = directory / f"host{number:05}"
        if not host.exists():
            shutil.copytree(TRACE, host)
    return directory


def _command(fleet: Path, output: Path, jobs: int) -> list[str]:
    policies = [part for policy in POLICIES for part in ("--policy", policy)]
    options = ["-s", str(SCENARIO), *policies, "--jobs", str(jobs), "-q"]
    return replay("batch", fleet, *options, "-o", output)


def _rate(name: str, bench: Bench, *, jobs: int, pairs: int, peer: str = "") -> Result:
    fleet = _fleet(bench.scratch / f"fleet-{pairs}", pairs)
    output = bench.scratch / "batch"
    spent = repeat(
        lambda: run(_command(fleet, output, jobs)),
        bench.repeats,
        before=partial(shutil.rmtree, output, ignore_errors=True),
    )
    shutil.rmtree(output)
    return Result(
        case=name,
        what=f"replay batch of {pairs:,} pairs of 256 requests, --jobs {jobs}",
        unit="pair",
        count=pairs,
        spent=spent,
        peer=peer,
    )


def _peak(name: str, bench: Bench, *, pairs: int) -> Result:
    fleet = _fleet(bench.scratch / f"fleet-{pairs}", pairs)
    output = bench.scratch / "batch"
    spent, peak = peak_of(_command(fleet, output, 2), below=True)
    shutil.rmtree(output)
    return Result(
        case=name,
        what=f"replay batch of {pairs:,} pairs, all processes, --jobs 2",
        unit="pair",
        count=pairs,
        spent=(spent,),
        bytes_peak=peak,
    )


BATCH: list[Case] = [
    Case(name="batch.1-job", run=partial(_rate, jobs=1, pairs=5000), slow=True),
    Case(
        name="batch.2-jobs",
        run=partial(_rate, jobs=2, pairs=5000, peer="batch.1-job"),
        slow=True,
    ),
    *(
        Case(
            name=f"memory.batch.{pairs}",
            run=partial(_peak, pairs=pairs),
            slow=pairs > 1000,
        )
        for pairs in (1000, 10_000)
    ),
]
