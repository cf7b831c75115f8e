"""The disk below, and loop on loop: recordings that are kept in ``traces``."""

from collections.abc import Iterator
from typing import Any, Final

import replay
from fidelity.page.bounds import Row, exact, within
from fidelity.page.lab import Lab
from fidelity.page.tables import means, only
from support.recordings import TRACES

SPLITS: Final = "direct-splits"
LIMITED: Final = "direct-splits-iops"
BFQ: Final = "direct-bfq"
NESTED: Final = "loop-on-loop"
#: Held here alone: the rules of the other sections are of one loop device.
NAMES: Final = (SPLITS, LIMITED, BFQ, NESTED)
#: Pages of shmem that are fio's own.
FIO: Final = 8192


def rows(lab: Lab) -> Iterator[Row]:
    """Yield what was counted on two devices, and what was predicted."""
    yield from _splits(lab)
    yield from _bfq(lab)
    yield from _nested(lab)


def _splits(lab: Lab) -> Iterator[Row]:
    for name in (SPLITS, LIMITED):
        result = replay.run(lab[name].trace, TRACES / f"{name}.toml")
        for path, column in (("/a", "rios"), ("/b", "wios")):
            kernel = lab[name].kernel()[path]["io.stat"]["254:32"][column]
            found = only(result.io_stat, cgroup=path, device="254:32")[column]
            what = f"`{column}` of {path} on a disk of max_sectors_kb 64"
            yield Row(name, name, what, "", kernel, found, exact(kernel))
    limit = ["/b/io.max=254:32 wiops=40", "arrivals.event=queue"]
    scenario = replay.Scenario.load(TRACES / f"{SPLITS}.toml", overrides=limit)
    found = means(replay.run(lab[SPLITS].trace, scenario))["/b"] / 1e6
    kernel = lab[LIMITED].fio()["write-b"]["mean_ns"] / 1e6
    what = "`io.max` wiops=40 on /b, 4 I/Os a write: its mean"
    yield Row(SPLITS, LIMITED, what, "ms", kernel, found, within(kernel, 0.03))


def _bfq(lab: Lab) -> Iterator[Row]:
    # one number stands for a write's time (10.8 ms). The emulated disk took 11.8 ms
    # while both wrote, 8.3 ms once /a was alone: so /b, done by then, is 8 % too fast.
    # 2 % of fio's times lie outside of the trace, and 3 % is what turns of up to 125 ms
    # make of the shares: /a has 116 writes done, not 107, when /b is through
    result = replay.run(lab[BFQ].trace, TRACES / f"{BFQ}.toml")
    found = means(result)
    for path, job, weight, off in (
        ("/a", "write-a", 100, 0.05),
        ("/b", "write-b", 300, 0.15),
    ):
        kernel = lab[BFQ].fio()[job]["mean_ns"] / 1e6
        what = f"`io.bfq.weight` {weight}: mean of {path}"
        ms = found[path] / 1e6
        yield Row(BFQ, BFQ, what, "ms", kernel, ms, within(kernel, off))


def _nested(lab: Lab) -> Iterator[Row]:
    result = replay.run(lab[NESTED].trace, TRACES / f"{NESTED}.toml")
    kernel: dict[str, Any] = lab[NESTED].kernel()
    for path in ("/a", "/b"):
        shmem = kernel[path]["memory.stat"]["shmem"] - FIO
        found = only(result.memory, cgroup=path)["shmem"]
        what = f"shmem of {path} below both devices, less fio's own"
        yield Row(NESTED, NESTED, what, "B", shmem, found, exact(shmem))
        for device in ("7:0", "7:1"):
            for column in ("wbytes", "wios"):
                wanted = kernel[path]["io.stat"][device][column]
                found = only(result.io_stat, cgroup=path, device=device)[column]
                unit = "B" if column == "wbytes" else ""
                what = f"`{column}` of {path} on {device}"
                yield Row(NESTED, NESTED, what, unit, wanted, found, exact(wanted))
