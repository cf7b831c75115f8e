"""Whole commands, a new process each time."""

import shutil
from functools import partial
from pathlib import Path

from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, repeat, replay, run


def _measure(
    name: str,
    bench: Bench,
    source: Path,
    count: int,
    what: str,
    peer: str = "",
    threads: int = 1,
) -> Result:
    output = bench.scratch / "tables"
    spent = repeat(
        lambda: run(replay("run", source, "-o", output, "--threads", str(threads))),
        bench.repeats,
        before=partial(shutil.rmtree, output, ignore_errors=True),
    )
    shutil.rmtree(output)
    return Result(
        case=name, what=what, unit="event", count=count, spent=spent, peer=peer
    )


def _run_records(
    name: str, bench: Bench, *, cgroups: int, tagged: bool, peer: str, threads: int
) -> Result:
    directory, events = bench.recording(cgroups=cgroups, tagged=tagged)
    words = f"{'' if tagged else 'un'}tagged recording"
    if tagged:
        words += f" of {cgroups:,} cgroups"
    what = f"replay run of the {words}, tables written"
    if threads > 1:
        what += f", {threads} threads"
    return _measure(name, bench, directory, events, what, peer, threads)


def _run_rows(name: str, bench: Bench) -> Result:
    directory, events = bench.recording()
    source = bench.scratch / "whole.arrow"
    run(replay("convert", directory, "-o", source, "--overwrite"))
    result = _measure(
        name, bench, source, events, "replay run of its trace file, tables written"
    )
    source.unlink()
    return result


def _records_case(
    name: str,
    *,
    cgroups: int = 100,
    tagged: bool = True,
    peer: str = "",
    threads: int = 1,
    slow: bool = False,
) -> Case:
    return Case(
        name=f"run.{name}",
        run=partial(
            _run_records, cgroups=cgroups, tagged=tagged, peer=peer, threads=threads
        ),
        slow=slow,
    )


COMMANDS: list[Case] = [
    _records_case("records-untagged", tagged=False, peer="peer.blkparse-btt"),
    _records_case(
        "records-untagged-2-threads",
        tagged=False,
        peer="peer.blkparse-btt",
        threads=2,
    ),
    _records_case("records"),
    _records_case("records-100000-cgroups", cgroups=100_000, slow=True),
    Case(name="run.rows", run=_run_rows),
]
