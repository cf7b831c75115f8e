"""Charges, kills and errors on tmpfs."""

from collections.abc import Iterator
from typing import Any

import replay
from fidelity.page.bounds import Row, exact, off_by, within
from fidelity.page.lab import Lab
from fidelity.page.tables import only

#: Replayed under its scenario of ``traces/``, and the recording that the kernel ran so.
AT_A_LIMIT = (
    ("seed-unlimited", "seed-oom-direct"),
    ("seed-oom-direct", "seed-oom-direct"),
    ("seed-swap", "seed-swap"),
    ("nested-unlimited", "tmpfs-nested"),
    ("tmpfs-nested", "tmpfs-nested"),
)
#: Pages that a tool has of its own on tmpfs: each fio two, dd one.
OWN_FILES = {
    ("tmpfs-rewrite", "/a"): 8192,
    ("tmpfs-rewrite", "/b"): 2 * 8192,
    ("tmpfs-enospc", "/test.slice"): 4096,
    ("fs-on-loop", "/a"): 4096,
    ("fs-on-loop", "/b"): 4096,
}
WITHIN = 0.003


def rows(lab: Lab) -> Iterator[Row]:
    """Yield what was charged and who was killed."""
    for (name, path), files in OWN_FILES.items():
        if not lab.has(name):
            continue
        taken = lab[name]
        file = taken.scenario_file
        result = replay.run(taken.trace, file if file.exists() else taken.scenario())
        kernel = taken.kernel()[path]["memory.stat"]["shmem"] - files
        found = only(result.memory, cgroup=path)["shmem"]
        what = f"shmem of {path}, less the tools' own files"
        yield Row(name, name, what, "B", kernel, found, exact(kernel))
    for name, counted in AT_A_LIMIT:
        if not lab.has(name, counted):
            continue
        taken = lab[name]
        result = replay.run(taken.trace, taken.scenario_file)
        for path, counters in lab[counted].kernel().items():
            if path != "/":
                yield from _at_a_limit(name, counted, path, counters, result)
    if lab.has("high-alone"):
        yield from _high(lab)


def _at_a_limit(
    name: str, counted: str, path: str, counters: Any, result: replay.Result
) -> Iterator[Row]:
    found = only(result.memory, cgroup=path)
    kernel = counters["memory.stat"]["shmem"]
    what = f"shmem of {path}"
    yield Row(name, counted, what, "B", kernel, found["shmem"], within(kernel, WITHIN))
    events = counters["memory.events"]
    for event in ("oom_kill", "oom_group_kill"):
        kernel = events[event]
        what = f"`{event}` of {path}"
        yield Row(name, counted, what, "", kernel, found[event], exact(kernel))
    if events["oom"]:
        # rounds are how often a CPU spins; the relation is the rule: n charges
        kernel = events["max"] - 17 * events["oom"]
        what = f"charges that came to the OOM killer, `max` - 17·`oom`, of {path}"
        charges = found["max"] - 17 * found["oom"]
        yield Row(name, counted, what, "", kernel, charges, off_by(kernel, 2))


def _high(lab: Lab) -> Iterator[Row]:
    """A lone writer over memory.high; its own memory is 1.3 MiB, by memory.peak."""
    taken = lab["high-alone"]
    service = {"base_ns": 1_000_000, "ns_per_byte": 5}
    high = {"memory.high": "12M", "tasks": [{"comm": "dd", "rss": "1300K"}]}
    result = replay.run(
        taken.trace,
        {"service": {"model": "linear", "write": service}, "cgroups": {"/a": high}},
    )
    kernel = taken.kernel()["/a"]["memory.events"]["high"]
    found = only(result.memory, cgroup="/a")["high"]
    name = taken.name
    yield Row(name, name, "`high` of /a", "", kernel, found, exact(kernel))
    slept = only(result.latency, cgroup="/a", stage="memory", op="write")
    total = taken.times_ns("/a").sum() / 1e9
    what = "time that /a sleeps for it (the kernel's: all of its writes)"
    yield Row(name, name, what, "s", total, slept["sum_ns"] / 1e9, within(total, 0.05))
