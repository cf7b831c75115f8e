"""From files that no memory holds to one that the disk has: convert, and cp.

The disk takes different times for the same, now and an hour later. So each copy is
followed by a conversion, many times, and both cases show what was measured then.
"""

import shutil
from functools import cache, partial
from typing import Final

import replay
from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, Spent, drop_cache, repeat, run
from benchmarks.traces import trace_files

#: Its median is within some hundredths, where that of 5 was within a fifth.
PAIRS: Final = 21
CP: Final = "peer.cp"
CONVERT: Final = "convert.cold"


@cache
def _alternately(bench: Bench) -> tuple[int, dict[str, tuple[Spent, ...]]]:
    """Copy and convert in turn; return the events, and the times by case."""
    directory, events = bench.recording(tagged=False)
    paths = trace_files(directory)
    own, output = bench.scratch / "copied", bench.scratch / "cold.arrow"

    def copy() -> None:
        own.mkdir(exist_ok=True)
        run(["cp", *paths, own])
        drop_cache(trace_files(own))

    def convert() -> None:
        replay.convert(directory, output, overwrite=True).close()
        drop_cache([output])

    spent: dict[str, tuple[Spent, ...]] = {CP: (), CONVERT: ()}
    for _ in range(max(PAIRS, bench.repeats)):
        for name, work in ((CP, copy), (CONVERT, convert)):
            spent[name] += repeat(work, 1, before=partial(drop_cache, paths))
            # both write a new file
            shutil.rmtree(own, ignore_errors=True)
            output.unlink(missing_ok=True)
    return events, spent


def _measure(name: str, bench: Bench, *, what: str, peer: str = "") -> Result:
    events, spent = _alternately(bench)
    return Result(
        case=name, what=what, unit="event", count=events, spent=spent[name], peer=peer
    )


COLD: list[Case] = [
    Case(
        name=CP,
        run=partial(_measure, what="cp of the same bytes, cold and synced"),
        needs=("cp",),
    ),
    Case(
        name=CONVERT,
        run=partial(
            _measure,
            what="recording to trace file, untagged, 1 thread, cold and synced",
            peer=CP,
        ),
        needs=("cp",),
    ),
]
