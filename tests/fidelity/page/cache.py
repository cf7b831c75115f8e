"""The page cache of a file on a disk's file system."""

from collections.abc import Iterator
from typing import Any, Final

import replay
from fidelity.page.bounds import Bound, Row, exact, within
from fidelity.page.lab import Lab
from fidelity.page.tables import only

#: The root laid the file out, the disk below is vdc.
BACKING: Final = {"filesystem": "ext4", "laid_out_by": "/", "device": "254:32"}
BELOW: Final = "254:32"
#: Beside the cache each fio has two pages of files of its own on tmpfs.
FIO_FILES: Final = 8192


def rows(lab: Lab) -> Iterator[Row]:
    """Yield pages, reads below and write-back."""
    if lab.has("buffered-two"):
        yield from _unlimited(lab)
    if lab.has("buffered-limit"):
        yield from _limited(lab)


def _row(
    name: str, what: str, kernel: int, found: int, bound: Bound, unit: str = ""
) -> Row:
    return Row(name, name, what, unit, kernel, found, bound)


def _unlimited(lab: Lab) -> Iterator[Row]:
    name = "buffered-two"
    result = replay.run(lab[name].trace, {"backing": BACKING})
    counters = lab[name].kernel()
    for path in ("/a", "/b"):
        kernel = counters[path]["memory.stat"]["file"] - FIO_FILES
        found = only(result.memory, cgroup=path)["file"]
        what = f"page cache of {path}, less fio's own files"
        yield _row(name, what, kernel, found, exact(kernel), "B")
        # a cgroup without I/O there has no line
        below = counters[path]["io.stat"].get(BELOW, {})
        stat = only(result.io_stat, cgroup=path, device=BELOW)
        for column, unit in (("rbytes", "B"), ("rios", ""), ("wbytes", "B")):
            kernel = below.get(column, 0)
            what = f"`{column}` of {path} on the disk below"
            yield _row(name, what, kernel, stat[column], exact(kernel), unit)


def _limited(lab: Lab) -> Iterator[Row]:
    name = "buffered-limit"
    # fio holds 8.4 MB, and is charged to a as its file's cache is
    task: dict[str, Any] = {"comm": "fio", "rss": "8400K"}
    limit = {"/a": {"memory.max": "16M", "tasks": [task]}}
    result = replay.run(lab[name].trace, {"backing": BACKING, "cgroups": limit})
    counters = lab[name].kernel()["/a"]
    stat = only(result.io_stat, cgroup="/a", device=BELOW)
    for column, unit in (("rbytes", "B"), ("rios", "")):
        kernel = counters["io.stat"][BELOW][column]
        what = f"`{column}` of /a on the disk below, at `memory.max`"
        yield _row(name, what, kernel, stat[column], within(kernel, 0.02), unit)
    row = only(result.memory, cgroup="/a")
    for event in ("oom", "oom_kill"):
        kernel = counters["memory.events"][event]
        what = f"`{event}` of /a"
        yield _row(name, what, kernel, row[event], exact(kernel))
