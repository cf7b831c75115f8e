"""Gather the counters that a kernel kept while a trace was recorded.

``python traces/expected.py RECORDING > traces/NAME/expected.json``, where RECORDING is
a folder of the lab: ``begin/`` and ``end/`` with each cgroup's interface files,
``ids``, ``kernel``, ``log`` and, for some, ``fio.*.json``.
"""

import json
import re
import sys
from pathlib import Path

STAT = ("anon", "file", "shmem", "kernel")
DEVICES = {"loop0": "7:0", "loop1": "7:1", "vdc": "254:32", "nullb1": "253:1"}

Counters = dict[str, int | dict[str, int] | dict[str, dict[str, int]]]


def read_flat(path: Path) -> dict[str, int]:
    """Read lines of name and number."""
    lines = path.read_text().splitlines()
    return {name: int(number) for name, number in (line.split() for line in lines)}


def read_io(path: Path, devices: set[str]) -> dict[str, dict[str, int]]:
    """Read ``io.stat``: what each of some devices was asked to do."""
    found = {}
    for line in path.read_text().splitlines():
        device, *pairs = line.split()
        if device in devices and pairs:
            split = (pair.split("=") for pair in pairs)
            # io.cost adds a rate, which is no count
            found[device] = {n: int(number) for n, number in split if number.isdigit()}
    return found


def read_cgroup(folder: Path, devices: set[str]) -> Counters:
    """Read one cgroup's counters; the root has fewer files than the others."""
    counters: Counters = {}
    for name in ("memory.current", "memory.peak"):
        if (folder / name).exists():
            counters[name] = int((folder / name).read_text())
    stat = read_flat(folder / "memory.stat")
    counters["memory.stat"] = {name: stat[name] for name in STAT if name in stat}
    if (folder / "memory.events").exists():
        counters["memory.events"] = read_flat(folder / "memory.events")
    if (folder / "io.stat").exists():
        counters["io.stat"] = read_io(folder / "io.stat", devices)
    return counters


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
    lines = (recording / "ids").read_text().splitlines()
    paths = sorted(line.split(" ", 1)[1] for line in lines)
    folder = {path: re.sub("/", "__", path[1:]) or "root" for path in paths}
    return {
        "kernel": (recording / "kernel").read_text().strip(),
        "log": (recording / "log").read_text().splitlines(),
        # only the root, whose files were there before, does not begin with zeros
        "begin": {"/": read_cgroup(recording / "begin" / "root", devices)},
        "end": {
            path: read_cgroup(recording / "end" / folder[path], devices)
            for path in paths
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
