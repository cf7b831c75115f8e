"""Every driver policy asked of every traced one, and what latencies come out.

    python -m fidelity.page.pairs [--write]

Prints a page as Markdown; with --write to docs/pairs.md. Run in ``tests``.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import replay
from fidelity.page.lab import Lab
from fidelity.page.recording import recorded_means
from fidelity.page.tables import only
from replay.scenario.keys.policies import POLICIES, VARIANTS
from support.recordings import TOP, packed_names, unpacked

PAGE: Final = TOP / "docs" / "pairs.md"
#: A recording under each driver that a trace may come from, and its small and large
#: writer's cgroups.
TRACED: Final = {
    "per-cgroup": "workers-per-cgroup",
    "root": "workers-root",
    "per-cgroup, direct I/O on a disk": "direct-two",
}
CGROUPS: Final = ("/a", "/b")
INTRODUCTION: Final = """\
# Every policy from every traced one

<!-- Made by `python -m fidelity.page.pairs --write`, run in `tests`. -->

A recorded time is the service and what the traced driver made the request wait for.
The wait is taken out and another driver's put in ([model.md](model.md), *Service*), so
every policy and every version of the patches can be asked of a trace of any driver.
The two recordings on tmpfs are of the same jobs: `/a` does 3,000 writes of 4 KiB, one
at a time, `/b` 1,000 of 256 KiB, eight at a time. Times are from queue to completion.
*Recorded* is what the kernel showed.
"""
TIMES: Final = ("a's mean", "b's mean", "a's p50", "a's p99")
HELD: Final = """\
## Predicted beside recorded

Both drivers were recorded, so that each can be asked of the other one's trace. Times
in us. Means come out; of `/a`'s single requests the median and, under `per-cgroup`, the
tail do not: which processor was free when a worker was woken is not in a block trace
([model.md](model.md#service-the-time-in-the-device)).
"""
CHECKED: Final = """
What to look at, and `tests/fidelity/review/test_pairs.py` holds:

- A trace asked for its own driver gives what was recorded.
- Policies with one queue agree (`root`, `naive`, `instance`, `backcharge`, and
  `per-cgroup` where no worker can be made, so that the root's serves all): nothing
  limits anybody here, so they differ in who pays alone. `/a` waits behind eight large
  writes now and then: its mean is two to three times that with a worker each.
- With a worker each, or none (`synchronous`), requests of `/a` wait for the file's
  lock alone; from the root's trace that is a stage of its own, from a trace of that
  driver part of `device`.
- Of one driver, what is predicted from the other's trace lies within 10 % of what the
  kernel showed for `/a`'s mean, and within 20 % for `/b`'s.
- With direct I/O the disk decides: no worker waits, and no policy changes a time.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A driver that is asked for, and what came of it: means, median, shares in us."""

    name: str
    times_us: tuple[float, ...]
    waits_us: tuple[float, ...]


def drivers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every policy, and every version of the patches, with its keys."""
    for row in POLICIES:
        keys: dict[str, Any] = {"policy": row.name}
        if row.name == "instance":
            keys["instance"] = "/server"
        yield f"`{row.name}`", keys
    never = {"policy": "per-cgroup", "alloc_fail": {"probability": 1.0}}
    yield "`per-cgroup` where no worker can be made", never
    for variant in VARIANTS:
        keys = {"policy": "per-cgroup", "variant": variant.name}
        yield f"`{variant.name}`", keys


def ask(lab: Lab, name: str) -> Iterator[Asked]:
    """Ask every driver of a recording.

    Parameters
    ----------
    lab : Lab
    name : str

    Yields
    ------
    Asked
        First what was recorded: of it only the means are known.
    """
    taken = lab[name]
    own = replay.run(taken.trace, taken.scenario(), requests=True)
    means = recorded_means(taken.trace, own)
    yield Asked("recorded", tuple(means[path] / 1e3 for path in CGROUPS), ())
    for driver, keys in drivers():
        scenario = taken.scenario()
        # direct I/O stays what it was: it is no part of the question
        scenario["driver"] = keys | {"direct_io": name.startswith("direct-")}
        if keys["policy"] == "instance":
            scenario["cgroups"] = {"/server": {}}
        if keys["policy"] == "pass-through" and not scenario["driver"]["direct_io"]:
            # there is no page cache of a dm device's own
            continue
        yield Asked(driver, *_times(replay.run(taken.trace, scenario)))


def _times(result: replay.Result) -> tuple[tuple[float, ...], tuple[float, ...]]:
    of: dict[str, Mapping[str, int]] = {
        path: only(result.latency, cgroup=path, stage="total") for path in CGROUPS
    }
    times = [of[path]["mean_ns"] for path in CGROUPS]
    times += [of["/a"]["p50_ns"], of["/a"]["p99_ns"]]
    waits = [
        only(result.latency, cgroup="/a", stage=stage)["mean_ns"]
        for stage in ("dispatch", "lock", "device")
    ]
    return tuple(ns / 1e3 for ns in times), tuple(ns / 1e3 for ns in waits)


def table(rows: list[Asked]) -> Iterator[str]:
    """Yield a table's lines: drivers that agree in everything share one."""
    yield (
        "| asked | a's mean | b's mean | a's p50 | a's p99 "
        "| a's `dispatch` | a's `lock` | a's `device` |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    names: dict[tuple[float, ...], list[str]] = {}
    for row in rows:
        names.setdefault((*row.times_us, *row.waits_us), []).append(row.name)
    for values, alike in names.items():
        cells = [f"{value:,.0f}" for value in values]
        cells += [""] * (7 - len(cells))
        yield f"| {', '.join(_runs(alike))} | {' | '.join(cells)} |"


def _runs(names: list[str]) -> list[str]:
    """Join versions that follow each other: v1 to v14."""
    versions = [row for row in VARIANTS if f"`{row.name}`" in names]
    others = [name for name in names if name not in {f"`{v.name}`" for v in versions}]
    if len(versions) < 2:
        return names
    found = f"`{versions[0].name}` to `{versions[-1].name}`"
    return [*others, found]


def held(asked: Mapping[str, list[Asked]]) -> Iterator[str]:
    """Yield a table's lines: what is said of a driver from the other one's trace.

    The kernel's own times are those of a replay of a trace under its own driver, which
    gives each request back as it was recorded.
    """
    times = {
        traced: {row.name.strip("`"): row.times_us for row in rows}
        for traced, rows in asked.items()
    }
    yield "| asked | from a trace of | time | recorded | predicted | off |"
    yield "|---|---|---|---|---|---|"
    for driver, other in (("root", "per-cgroup"), ("per-cgroup", "root")):
        recorded, predicted = times[driver][driver], times[other][driver]
        for name, was, said in zip(TIMES, recorded, predicted, strict=True):
            cells = [f"`{driver}`", f"`{other}`", name, f"{was:,.0f}", f"{said:,.0f}"]
            yield f"| {' | '.join(cells)} | {100 * (said - was) / was:+.0f} % |"


def page(lab: Lab) -> str:
    """Return the page's text."""
    asked = {title: list(ask(lab, name)) for title, name in TRACED.items()}
    lines = [INTRODUCTION, HELD, *held(asked), ""]
    for title, rows in asked.items():
        lines += [f"## Traced: {title} (`{TRACED[title]}`)", "", "Times in us.", ""]
        lines += [*table(rows), ""]
    return "\n".join([*lines[:-1], CHECKED])


def main() -> None:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"to docs/{PAGE.name}")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name in packed_names("6.1"):
            folder = unpacked(name, Path(place))
        text = page(Lab(folder.parent, Path(place)))
    if chosen.write:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
