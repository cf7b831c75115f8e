"""Recordings of a kernel, each a folder: its traces, and the kernel's own counters."""

import importlib.util
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import replay

TRACES = Path(__file__).parents[2] / "traces"
LOOP = 7 << 20
#: The io controller was off: fio's small-a (pid 159) and large-b carry the root's id.
ROOT_PIDS = [{"pid": 159, "cgroup": "/a"}, {"pid": 158, "cgroup": "/b"}]


@dataclass(frozen=True, slots=True)
class Recording:
    """A folder that the lab wrote."""

    name: str
    folder: Path
    trace: replay.Trace

    @property
    def scenario_file(self) -> Path:
        """The scenario that ships with it; not every one has one."""
        return TRACES / f"{self.name}.toml"

    def kernel(self) -> dict[str, Any]:
        """Return each cgroup's counters at the end of the run, by path."""
        kept = self.folder / "expected.json"
        if kept.exists():
            found = json.loads(kept.read_text())
        else:
            found = _gatherer().gather(self.folder)
        end: dict[str, Any] = found["end"]
        return end

    def fio(self) -> dict[str, Any]:
        """Return what each fio job saw, of a recording that is kept here."""
        found = json.loads((self.folder / "expected.json").read_text())
        jobs: dict[str, Any] = found["fio"]
        return jobs

    def scenario(self) -> dict[str, Any]:
        """Return how it was taken, without its limits."""
        scenario: dict[str, Any] = {"trace": {"policy": "per-cgroup", "kernel": "6.1"}}
        if self.name.startswith("workers-root"):
            scenario["trace"]["policy"] = "root"
            scenario |= {"driver": {"policy": "root"}, "assign": ROOT_PIDS}
        scenario["backing"] = {"filesystem": "tmpfs"}
        if self.name.startswith(("direct-", "buffered-")):
            scenario["backing"] = {"filesystem": "ext4"}
        if self.name.startswith("direct-"):
            scenario["trace"]["direct_io"] = True
            scenario["driver"] = {"direct_io": True}
        return scenario

    def id_of(self, path: str) -> int:
        """Return the id of a cgroup in the trace."""
        cgroups = self.trace.metadata.summary.cgroups
        return next(cgroup.id for cgroup in cgroups if cgroup.path == path)

    def span_ns(self, path: str) -> int:
        """Return the time from a cgroup's first queueing to its last completion."""
        of_it = self._of(path)
        return int(of_it["complete_ns"].max() - of_it["queue_ns"].min())

    def times_ns(self, path: str, since: str = "queue_ns") -> NDArray[np.int64]:
        """Return the recorded times of a cgroup's requests on the loop device, sorted.

        Parameters
        ----------
        path : str
        since : str
            ``queue_ns`` or ``issue_ns``; until completion.
        """
        of_it = self._of(path)
        return np.sort(of_it["complete_ns"] - of_it[since])

    def _of(self, path: str) -> dict[str, NDArray[np.int64]]:
        """Return the times of a cgroup's requests on the loop device."""
        table = self.trace.table()
        mask = np.asarray(table["cgroup"]) == self.id_of(path)
        mask &= np.asarray(table["device"]) == LOOP
        names = ("queue_ns", "issue_ns", "complete_ns")
        return {name: np.asarray(table[name])[mask] for name in names}


@dataclass(slots=True)
class Lab:
    """Recordings by name, converted once.

    Attributes
    ----------
    folder : Path
        Holds a folder for each recording.
    place : Path
        Where trace files are made.
    """

    folder: Path
    place: Path
    _open: dict[str, Recording] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return every recording's name."""
        return sorted(path.parent.name for path in self.folder.glob("*/ids"))

    def has(self, *names: str) -> bool:
        """Tell whether all of these recordings are there."""
        return all((self.folder / name / "ids").is_file() for name in names)

    def __getitem__(self, name: str) -> Recording:
        """Return a recording, converted."""
        if name not in self._open:
            folder = self.folder / name
            if not folder.is_dir():
                folder = TRACES / name
            trace = replay.convert([folder], self.place / f"{name}.arrow")
            self._open[name] = Recording(name, folder, trace)
        return self._open[name]


def _gatherer() -> Any:
    """Return the script that makes a recording's ``expected.json``."""
    spec = importlib.util.spec_from_file_location("expected", TRACES / "expected.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def matching(table: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of a table in which columns have the wanted values."""
    return [
        row
        for row in table.to_pylist()
        if all(row[name] == value for name, value in wanted.items())
    ]


def only(table: pa.Table, **wanted: Any) -> dict[str, Any]:
    """Return the one row of a table in which columns have the wanted values."""
    (row,) = matching(table, **wanted)
    return row


def means(result: replay.Result) -> dict[str, float]:
    """Return each cgroup's mean ``total`` in ns, over all operations."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in matching(result.latency, stage="total"):
        sums[row["cgroup"]][0] += row["sum_ns"]
        sums[row["cgroup"]][1] += row["count"]
    return {cgroup: total / count for cgroup, (total, count) in sums.items()}


def recorded_means(recording: Recording, result: replay.Result) -> Mapping[str, float]:
    """Return each cgroup's mean from issue to completion, of the rows replayed."""
    assert result.requests is not None
    table = recording.trace.table()
    took = np.asarray(table["complete_ns"]) - np.asarray(table["issue_ns"])
    done = result.requests.filter(result.requests["completion_ns"].is_valid())
    issuer = done["issuer"].to_numpy(zero_copy_only=False)
    rows = done["row"].to_numpy()
    return {
        path: float(took[rows[issuer == path]].mean()) for path in sorted(set(issuer))
    }
