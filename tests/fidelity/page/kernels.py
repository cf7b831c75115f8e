"""Other kernels than 6.1: what each recording counted, and a replay by its rules."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import replay
from fidelity.page.bounds import Bound, Row, exact, within
from replay.verify.check import CheckedNumber, verify
from support.recordings import packed_names, unpacked

#: A file on ext4 on the disk below.
BELOW: Final = {
    "backing.filesystem": "ext4",
    "backing.device": "254:32",
    "backing.laid_out_by": "/",
}
DIRECT: Final = BELOW | {"driver.direct_io": "true"}
TMPFS_DIRECT: Final = {"backing.filesystem": "tmpfs", "driver.direct_io": "true"}
HIGH: Final = {
    "/a/memory.high": "24M",
    "/a/tasks": '[{ comm = "dd", rss = "1300K" }]',
}
LIMIT_40: Final = {
    "/web.slice/memory.max": "40M",
    "/web.slice/tasks": '[{ comm = "dd", rss = "768K" }]',
}
#: fio holds some 8.2 MiB while it runs.
FIO: Final = '[{ comm = "fio", rss = "8400K" }]'
LIMIT_16: Final = BELOW | {"/a/memory.max": "16M", "/a/tasks": FIO}
#: Whose pages are reclaimed, and by what part the numbers may be off that come of it; a
#: full cache is as full as the memory of its tasks lets it be, and not compared.
RECLAIMED: Final[dict[str, tuple[str, dict[str, float]]]] = {
    "6.12/write-high-ext4": ("/a", {"high": 0.3}),
    "7.3/cache-24": ("/rd", {"rbytes": 0.02, "rios": 0.02, "max": 0.02}),
    "7.3/seq-read-limit": ("/a", {"rbytes": 0.03}),
    "7.3/zipf-limit": ("/a", {"rbytes": 0.03, "rios": 0.03, "max": 0.15}),
}
#: What a recording does not say itself; one that is not named here says all.
SETTINGS: Final[dict[str, dict[str, str]]] = {
    "5.10/direct-base": DIRECT,
    "5.10/direct-rbps": DIRECT,
    "5.10/seed-40": LIMIT_40,
    "5.10/tmpfs-high": HIGH,
    "6.12/direct-base": DIRECT,
    "6.12/direct-rbps": DIRECT,
    "6.12/seq-read": BELOW,
    "6.12/tmpfs-dio": TMPFS_DIRECT,
    "6.12/write-high-ext4": BELOW | {"/a/memory.high": "16M", "/a/tasks": FIO},
    "6.12/tmpfs-huge": {"backing.huge": "always"},
    "7.3/cache-24": BELOW | {"/rd/memory.max": "24M", "/rd/tasks": FIO},
    "7.3/cost-base": DIRECT,
    "7.3/cost-period": DIRECT,
    "7.3/direct-base": DIRECT,
    "7.3/direct-rbps": DIRECT,
    "7.3/seed-40": LIMIT_40,
    "7.3/seq-read": BELOW,
    "7.3/seq-read-limit": LIMIT_16,
    "7.3/zipf-limit": LIMIT_16,
    "7.3/seq-read-128": BELOW | {"backing.readahead": "128K"},
    "7.3/tmpfs-dio": TMPFS_DIRECT,
    "7.3/tmpfs-high": HIGH,
    "7.3/tmpfs-huge": {"backing.huge": "always"},
}
#: What is left out, and why; the page says it.
LEFT_OUT: Final = {
    "6.12/wb-first": "a test holds when it is written back",
    "7.3/fs-fsync": "version 7 or 8, the root's journal ran before the trace, too",
    "7.3/fs-fsync-v7": "version 7 lost FUA writes; a test holds that this is said",
    "7.3/trim-v7": "version 7 lost write-zeroes; a test holds that this is said",
    "7.3/wb-first": "a test holds when it is written back",
    "7.3/wz": "version 7 lost the write-zeroes that it is about",
    "7.3/max-window": "how long `io.max` holds, not how much: a test",
    "7.3/high-alone": "recorded under the limit: what is slept is in its times",
}
#: A tool's own files, and its first reads, on the tmpfs where the backing file lies.
OWN_BYTES: Final = 12 << 10
#: Counters that depend on how often a CPU spins until a victim is gone.
_BLOCKS: Final = re.compile(r" blocks (\d+) of 512 ")
SPINS: Final = ("memory.events max", "memory.events oom")


def rows(kernel: str, place: Path) -> Iterator[Row]:
    """Yield what the recordings of a kernel counted beside what is replayed.

    Parameters
    ----------
    kernel : str
        ``7.3``.
    place : Path
        Where recordings are unpacked.

    Yields
    ------
    Row
        Of each recording how many values of ``io.stat`` are equal, every cgroup,
        device and column; then each number of memory.
    """
    for name in packed_names(kernel):
        if name in LEFT_OUT:
            continue
        given = [f"{key}={value}" for key, value in SETTINGS.get(name, {}).items()]
        folder = unpacked(name, place)
        # the root's are everybody's, and the disk's own
        all_ = [
            line for line in verify(folder, overrides=given).lines if line.cgroup != "/"
        ]
        reclaimed = [line for line in all_ if _is_of_reclaim(name, line)]
        lines = [
            line for line in all_ if line not in reclaimed and line.what not in SPINS
        ]
        io = [line for line in lines if line.what.startswith("io.stat")]
        what = "values of `io.stat`, every cgroup, device and column, that are equal"
        equal = sum(line.predicted == line.counted for line in io)
        yield Row(name, name, what, "", len(io), equal, exact(len(io)))
        for line in lines:
            if line not in io:
                yield _memory(name, line)
        for line in reclaimed:
            if part := RECLAIMED[name][1].get(line.what.split()[-1]):
                yield _reclaimed(name, line, part)
        # there mkfs wrote to it before the trace began
        if name.endswith("fs-fsync"):
            continue
        if blocks := _BLOCKS.search(_text(folder / "end" / "backing")):
            bytes_ = int(blocks[1]) * 512
            result = replay.run(folder, overrides=given)
            if result.info["scenario"]["backing"]["filesystem"] == "tmpfs":
                found = sum(row["own_file"] for row in result.memory.to_pylist())
                what = "pages of the backing file, by its blocks"
                yield Row(name, name, what, "B", bytes_, found, within(bytes_, 0.003))


def _is_of_reclaim(name: str, line: CheckedNumber) -> bool:
    """Return True of a number that depends on which pages are reclaimed."""
    if name not in RECLAIMED or line.cgroup != RECLAIMED[name][0]:
        return False
    return "254:32" in line.what or line.what.startswith("memory.")


def _reclaimed(name: str, line: CheckedNumber, part: float) -> Row:
    *_, what = line.what.split()
    where = " on the disk below" if line.what.startswith("io.stat") else ""
    unit = "B" if what == "rbytes" else ""
    bound = within(line.counted, part)
    what = f"`{what}` of {line.cgroup}{where}"
    return Row(name, name, what, unit, line.counted, line.predicted, bound)


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def _memory(name: str, line: CheckedNumber) -> Row:
    """Return the row of a number of memory."""
    counted = line.counted
    if line.what.startswith("memory.events"):
        unit, off = "", max(1, counted // 10) if line.what.endswith("high") else 0
        bound = Bound("10 %" if off else "exact", counted - off, counted + off, True)
    else:
        unit, part = "B", counted * 0.003
        bound = Bound(
            "0.3 %, 12 KiB of the tools", counted - part - OWN_BYTES, counted + part
        )
    what = f"`{line.what.split()[-1]}` of {line.cgroup}"
    return Row(name, name, what, unit, counted, line.predicted, bound)
