"""A real kernel's recordings as traces, and what the kernel counted meanwhile."""

import importlib.util
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

import replay

TRACES = Path(__file__).parents[1] / "traces"

#: A memory.high sleep or an io.max lies inside the recorded times.
SLEPT = ("direct-iomax", "high-alone", "tmpfs-high")
#: All others, whether kept in ``traces/`` or not.
STEADY = (
    *("buffered-limit", "buffered-two", "direct-iocost", "direct-iocost-base"),
    *("direct-two", "direct-unlimited", "fs-on-loop", "high-unlimited"),
    *("nested-unlimited", "seed-oom", "seed-oom-direct", "seed-swap"),
    *("seed-unlimited", "tmpfs-enospc", "tmpfs-nested", "tmpfs-rewrite"),
    *("workers-many", "workers-per-cgroup", "workers-root"),
)

#: fio's small-a and large-b ran with the io controller off: all carries the root's id.
ROOT_PIDS = [{"pid": 159, "cgroup": "/a"}, {"pid": 158, "cgroup": "/b"}]


@dataclass(frozen=True)
class Recording:
    """One of the lab's recordings."""

    name: str
    folder: Path
    trace: replay.Trace

    @property
    def scenario_file(self) -> Path:
        """The scenario that ships with it."""
        return TRACES / f"{self.name}.toml"

    def kernel(self) -> dict[str, Any]:
        """Return each cgroup's counters after the run, by path."""
        kept = self.folder / "expected.json"
        if kept.exists():
            found = json.loads(kept.read_text())
        else:
            spec = importlib.util.spec_from_file_location(
                "expected", TRACES / "expected.py"
            )
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found = module.gather(self.folder)
        end: dict[str, Any] = found["end"]
        return end

    def taken_with(self) -> dict[str, Any]:
        """Return the driver that it was taken with, as a scenario without limits."""
        if self.name == "workers-root":
            policy = {"policy": "root"}
            return {"trace": policy, "driver": policy, "assign": ROOT_PIDS}
        scenario: dict[str, Any] = {}
        if self.name.startswith(("direct-", "buffered-")):
            scenario["backing"] = {"filesystem": "ext4"}
        if self.name.startswith("direct-"):
            scenario |= {"trace": {"direct_io": True}, "driver": {"direct_io": True}}
        return scenario


def only(table: pa.Table, **wanted: Any) -> dict[str, Any]:
    """Return the one row of a table in which columns have the wanted values."""
    (row,) = rows(table, **wanted)
    return row


def rows(table: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of a table in which columns have the wanted values."""
    return [
        row
        for row in table.to_pylist()
        if all(row[name] == value for name, value in wanted.items())
    ]


def mean_totals(result: replay.Result) -> dict[str, float]:
    """Return each cgroup's mean ``total`` in ns, over all operations."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows(result.latency, stage="total"):
        sums[row["cgroup"]][0] += row["mean_ns"] * row["count"]
        sums[row["cgroup"]][1] += row["count"]
    return {cgroup: total / count for cgroup, (total, count) in sums.items()}


def recorded_means(trace: replay.Trace, result: replay.Result) -> dict[str, float]:
    """Return each cgroup's mean of recorded complete - issue of the rows replayed."""
    issue = trace.table()["issue_ns"].to_pylist()
    complete = trace.table()["complete_ns"].to_pylist()
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in result.tables["requests"].to_pylist():
        if row["completion_ns"] is not None:
            sums[row["issuer"]][0] += complete[row["row"]] - issue[row["row"]]
            sums[row["issuer"]][1] += 1
    return {cgroup: total / count for cgroup, (total, count) in sums.items()}


def ratios(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each value differs, as a part of the second."""
    assert a.keys() == b.keys()
    return {name: a[name] / b[name] - 1 for name in a}
