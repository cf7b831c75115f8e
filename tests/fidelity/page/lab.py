"""The lab's recordings by name, each with the scenario that it was taken under."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import replay
from fidelity.page.recording import SavedCapture
from replay.verify.counters import CgroupCounters
from support.recordings import TRACES

#: The io controller was off: fio's small-a (pid 159) and large-b carry the root's id.
ROOT_PIDS = [{"pid": 159, "cgroup": "/a"}, {"pid": 158, "cgroup": "/b"}]


@dataclass(frozen=True, slots=True)
class Taken(SavedCapture):
    """A folder that the lab wrote."""

    @property
    def scenario_file(self) -> Path:
        """The scenario that ships with it; not every one has one."""
        return TRACES / f"{self.name}.toml"

    def kernel(self) -> dict[str, CgroupCounters]:
        """Return each cgroup's counters at the end of the run, by path."""
        # what is kept in traces/ has them gathered
        if not (self.folder / "expected.json").exists():
            return SavedCapture.kernel(self)
        end: dict[str, CgroupCounters] = self._expected()["end"]
        return end

    def fio(self) -> dict[str, Any]:
        """Return what each fio job saw, of a recording that is kept here."""
        jobs: dict[str, Any] = self._expected()["fio"]
        return jobs

    def _expected(self) -> Any:
        return json.loads((self.folder / "expected.json").read_text())

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
    _open: dict[str, Taken] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return every recording's name."""
        return sorted(path.parent.name for path in self.folder.glob("*/ids"))

    def has(self, *names: str) -> bool:
        """Return True if all of these recordings are there."""
        return all((self.folder / name / "ids").is_file() for name in names)

    def __getitem__(self, name: str) -> Taken:
        """Return a recording, converted."""
        if name not in self._open:
            folder = self.folder / name
            if not folder.is_dir():
                folder = TRACES / name
            trace = replay.convert([folder], self.place / f"{name}.arrow")
            self._open[name] = Taken(name, folder, trace)
        return self._open[name]
