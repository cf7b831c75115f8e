"""Gather the counters that a kernel kept while a trace was recorded.

``python traces/expected.py RECORDING > traces/NAME/expected.json``, where RECORDING is
a folder of the lab: ``begin/`` and ``end/`` with each cgroup's interface files,
``ids``, ``kernel``, ``log`` and, for some, ``fio.*.json``.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from replay.verify.counters import CgroupCounters, read_counters

STAT = ("anon", "file", "shmem", "kernel")
DEVICES = {"loop0": "7:0", "loop1": "7:1", "vdc": "254:32", "nullb1": "253:1"}


def of_cgroup(
    found: CgroupCounters, devices: set[str]
) -> dict[str, Mapping[str, object] | int]:
    """Choose what is kept of one cgroup's counters: those of some devices."""
    kept: dict[str, Mapping[str, object] | int] = {}
    for name in ("memory.current", "memory.peak"):
        if name in found:
            kept[name] = found[name]
    stat = found["memory.stat"]
    kept["memory.stat"] = {name: stat[name] for name in STAT if name in stat}
    if "memory.events" in found:
        kept["memory.events"] = found["memory.events"]
    if "io.stat" in found:
        io = found["io.stat"]
        kept["io.stat"] = {name: io[name] for name in io if name in devices}
    return kept


def read_fio(path: Path) -> dict[str, int]:
    """Read what one fio job saw: requests and their latency."""
    # fio writes its notes before the JSON
    text = path.read_text()
    job = json.loads(text[text.index("{") :])["jobs"][0]
    seen = max(job["read"], job["write"], key=lambda side: side["total_ios"])
    return {
        "requests": seen["total_ios"],
        "mean_ns": round(seen["clat_ns"]["mean"]),
        "runtime_ms": seen["runtime"],
    }


def gather(recording: Path) -> dict[str, object]:
    """Gather everything that is kept beside a trace."""
    traced = {path.name.split(".")[0] for path in recording.glob("*.blktrace.[0-9]*")}
    devices = {DEVICES[name] for name in traced}
    return {
        "kernel": (recording / "kernel").read_text().strip(),
        "log": (recording / "log").read_text().splitlines(),
        # only the root, whose files were there before, does not begin with zeros
        "begin": {"/": of_cgroup(read_counters(recording / "begin")["/"], devices)},
        "end": {
            path: of_cgroup(found, devices)
            for path, found in read_counters(recording / "end").items()
        },
        "fio": {
            path.name.split(".")[1]: read_fio(path)
            for path in sorted(recording.glob("fio.*.json"))
        },
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: expected.py RECORDING")
    json.dump(gather(Path(sys.argv[1])), sys.stdout, indent=1)
    print()
