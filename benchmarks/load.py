"""Load a command until something would give, and say what it came to.

    python -m benchmarks.load [--quick] [--write]

Large recordings, many cgroups, many captures, a Dask worker that is killed, an object
store that dies and comes back. --write puts the figures into docs/reliability.md.
Needs 8 GB of disk, and what the tests need (moto, boto3, distributed); --quick takes a
hundredth of the sizes.
"""

import argparse
import datetime
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from benchmarks.machine import describe
from benchmarks.measure import compile_modules, peak_of, replay
from benchmarks.shape import Shape, requests_for
from benchmarks.traces import records_of

TOP: Final = Path(__file__).parents[1]
sys.path.append(str(TOP / "tests"))

from replay import batch, open_dataset  # noqa: E402
from replay.dataset.layout import DatasetLayout  # noqa: E402
from replay.dataset.places import Place  # noqa: E402
from support.datasets import assert_equal  # noqa: E402
from support.machines import Store, dask_cluster, s3_store, wait_for  # noqa: E402

PAGE: Final = TOP / "docs" / "reliability.md"
BEGIN, END = "<!-- load -->", "<!-- end of load -->"
CAPTURE: Final = TOP / "traces" / "seed-unlimited"
SCENARIO: Final = CAPTURE.with_suffix(".toml")
POLICIES: Final = ("root", "per-cgroup")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each load.

    Attributes
    ----------
    events : int
        Of the large recording.
    cgroups : int
        Of the recording of many cgroups.
    captures : int
        Of the large batch.
    fleet : int
        Captures of the batches that are disturbed, under two policies each.
    away_s : tuple of float
        How long the object store is away.
    """

    events: int
    cgroups: int
    captures: int
    fleet: int
    away_s: tuple[float, float]


WHOLE: Final = Sizes(100_000_000, 100_000, 10_000, 200, (3.0, 30.0))
QUICK: Final = Sizes(1_000_000, 1_000, 100, 8, (1.0, 12.0))


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to.

    Attributes
    ----------
    what : str
    came : str
    """

    what: str
    came: str


def _events(root: Path, scratch: Path, sizes: Sizes) -> Iterator[Load]:
    """Convert and replay a large recording."""
    requests = requests_for(sizes.events)
    shape = Shape(requests=requests, cgroups=1000, tagged=True, pages=1 << 22)
    recording, n_events = records_of(root, shape)
    for command in ("convert", "run"):
        output = scratch / command
        spent, peak = peak_of(replay(command, recording, "-q", "-o", output))
        yield Load(
            f"`replay {command}` of {n_events:,} events, 1,000 cgroups, 16 GiB",
            f"{peak / 1e6:.0f} MB of anonymous memory, {spent.clock:.0f} s",
        )
        _remove(output)


def _cgroups(root: Path, scratch: Path, sizes: Sizes) -> Iterator[Load]:
    """Replay a recording of many cgroups."""
    requests = requests_for(max(1_000_000, 20 * sizes.cgroups))
    shape = Shape(requests=requests, cgroups=sizes.cgroups, tagged=True, pages=1 << 20)
    recording, n_events = records_of(root, shape)
    spent, peak = peak_of(replay("run", recording, "-q", "-o", scratch / "many"))
    _remove(scratch / "many")
    yield Load(
        f"`replay run` of {n_events:,} events of {sizes.cgroups:,} cgroups",
        f"{peak / 1e6:.0f} MB of anonymous memory, {spent.clock:.0f} s",
    )


def _captures(root: Path, scratch: Path, sizes: Sizes) -> Iterator[Load]:
    """Replay many captures in one batch."""
    fleet = _fleet(scratch / "captures", sizes.captures)
    output = scratch / "dataset"
    options = ["-s", str(SCENARIO), "--jobs", "2", "-q", "-o", str(output)]
    spent, peak = peak_of(replay("batch", fleet, *options), below=True)
    runs = open_dataset(output).runs.num_rows
    _remove(fleet)
    _remove(output)
    yield Load(
        f"`replay batch` of {sizes.captures:,} captures, two processes",
        f"{runs:,} pairs replayed, none failed, {peak / 1e6:.0f} MB of anonymous "
        f"memory in all processes, {spent.clock:.0f} s",
    )


def _killed(root: Path, scratch: Path, sizes: Sizes) -> Iterator[Load]:
    """Kill a worker of a cluster in the middle of a batch."""
    fleet = _fleet(scratch / "fleet", sizes.fleet)
    here, there = scratch / "here", scratch / "there"
    batch(fleet, SCENARIO, output=here, policies=POLICIES, jobs=2)
    killed: list[int] = []
    with dask_cluster(scratch / "dask") as cluster:

        def kill(done: int, total: int) -> None:
            if done >= total // 3 and not killed:
                cluster.workers[0].kill()
                killed.append(done)

        report = batch(
            fleet,
            SCENARIO,
            output=there,
            policies=POLICIES,
            cluster=cluster.address,
            progress=kill,
        )
    if not killed or report.failures:
        raise RuntimeError(f"killed {killed}: {len(report.failures)} failed")
    assert_equal(there, here)
    for path in (fleet, here, there):
        _remove(path)
    yield Load(
        f"`replay batch --cluster`, one of two Dask workers killed after {killed[0]:,} "
        f"of {report.replayed:,} pairs",
        "none failed; the tables are those of an undisturbed batch",
    )


def _away(root: Path, scratch: Path, sizes: Sizes) -> Iterator[Load]:
    """Let the object store die in the middle of a batch, and come back."""
    fleet = _fleet(scratch / "small", max(4, sizes.fleet // 10))
    with pytest.MonkeyPatch.context() as environment, s3_store(environment) as store:
        for path in sorted(fleet.rglob("*")):
            if path.is_file():
                inside = path.relative_to(fleet).as_posix()
                (Place.of(store.address) / "in" / inside).write(path.read_bytes())
        traces, whole = f"{store.address}/in", f"{store.address}/whole"
        batch(traces, SCENARIO, output=whole, policies=POLICIES, jobs=1)
        for number, away_s in enumerate(sizes.away_s):
            output = f"{store.address}/out-{number}"
            code = _batch_without(store, traces, output, away_s)
            again = batch(traces, SCENARIO, output=output, policies=POLICIES, jobs=1)
            if again.failures:
                raise RuntimeError(f"{len(again.failures)} failed for good")
            assert_equal(output, whole)
            yield Load(
                f"`replay batch` on an object store that is away for {away_s:.0f} s in "
                f"the middle of {again.n_pairs:,} pairs",
                f"exit code {code}, {again.replayed:,} pairs left; the same command "
                "again replays those, and the tables are those of an undisturbed batch",
            )
    _remove(fleet)


def _batch_without(store: Store, traces: str, output: str, away_s: float) -> int:
    """Run a batch, and stop the store for a while when its work has begun."""
    policies = [part for policy in POLICIES for part in ("--policy", policy)]
    options = ["-s", str(SCENARIO), *policies, "-j", "1", "-q", "-o", output]
    command = list(map(str, replay("batch", traces, *options)))
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    layout = DatasetLayout(Place.of(output))
    wait_for(lambda: layout.traces.files() or process.poll() is not None)
    store.stop()
    time.sleep(away_s)
    store.start()
    return process.wait()


def _fleet(folder: Path, n_captures: int) -> Path:
    """Make a directory of captures."""
    for number in range(n_captures):
        shutil.copytree(CAPTURE, folder / f"host{number:05}")
    return folder


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


LOADS: Final[tuple[Callable[[Path, Path, Sizes], Iterator[Load]], ...]] = (
    *(_events, _cgroups, _captures, _killed, _away),
)


def section(loads: list[Load], command: str) -> str:
    """Lay the figures out.

    Parameters
    ----------
    loads : list of Load
    command : str
        That made them.

    Returns
    -------
    str
        Markdown, between the marks of the page.
    """
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    facts = describe()
    machine = ", ".join(facts[name] for name in ("CPU", "memory", "system", "Python"))
    lines = [
        BEGIN,
        f"Made on {today} by `{command}` ({machine}).",
        "",
        "| load | what it came to |",
        "|---|---|",
        *(f"| {one.what} | {one.came} |" for one in loads),
        END,
    ]
    return "\n".join(lines)


def written(page: str, found: str) -> str:
    """Return a page with its section of figures replaced."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"no {BEGIN} ... {END} in the page")
    return before + found + after


def main() -> None:
    """Load, print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of it")
    parser.add_argument("--write", action="store_true", help="docs/reliability.md")
    parser.add_argument("--directory", type=Path, default=TOP / "build" / "benchmarks")
    chosen = parser.parse_args()
    compile_modules()
    chosen.directory.mkdir(parents=True, exist_ok=True)
    loads = []
    with tempfile.TemporaryDirectory(dir=chosen.directory) as scratch:
        for load in LOADS:
            for one in load(
                chosen.directory, Path(scratch), QUICK if chosen.quick else WHOLE
            ):
                print(f"{one.what}: {one.came}", file=sys.stderr)
                loads.append(one)
    words = ["python", "-m", "benchmarks.load", *sys.argv[1:]]
    found = section(loads, " ".join(words))
    if chosen.write:
        PAGE.write_text(written(PAGE.read_text(), found))
    else:
        print(found)


if __name__ == "__main__":
    main()
