"""Whole commands, a new process each time."""

import shutil
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.cases.peers import has_duckdb
from benchmarks.cases.registry import SIZES, Bench, Case
from benchmarks.measure import Result, repeat, replay, run

#: What btt tells of is latency: no page of a backing file is accounted for.
DIRECT: Final = ("--set", "driver.direct_io=true")


def _measure(
    name: str,
    bench: Bench,
    source: Path,
    count: int,
    what: str,
    peer: str = "",
    options: tuple[str, ...] = (),
) -> Result:
    output = bench.scratch / "tables"
    spent = repeat(
        lambda: run(replay("run", source, "-o", output, *options)),
        bench.repeats_of(count),
        before=partial(shutil.rmtree, output, ignore_errors=True),
    )
    shutil.rmtree(output)
    return Result(
        case=name, what=what, unit="event", count=count, spent=spent, peer=peer
    )


def _run_records(
    name: str,
    bench: Bench,
    *,
    cgroups: int,
    tagged: bool,
    peer: str,
    direct: bool,
    threads: int,
    events: int | None,
) -> Result:
    directory, n_events = bench.recording(cgroups=cgroups, tagged=tagged, events=events)
    words = f"{'' if tagged else 'un'}tagged recording"
    if tagged:
        words += f" of {cgroups:,} cgroups"
    if direct:
        words += ", direct I/O"
    if threads > 1:
        words += f", {threads} threads"
    return _measure(
        name,
        bench,
        directory,
        n_events,
        f"replay run of the {words}, tables written",
        peer,
        (*(DIRECT if direct else ()), "--threads", str(threads)),
    )


def _run_rows(name: str, bench: Bench) -> Result:
    directory, events = bench.recording()
    source = bench.scratch / "whole.arrow"
    run(replay("convert", directory, "-o", source, "--overwrite", "--threads", "1"))
    result = _measure(
        name,
        bench,
        source,
        events,
        "replay run of its trace file, tables written",
        options=("--threads", "1"),
    )
    source.unlink()
    return result


def _records_case(
    name: str,
    *,
    cgroups: int = 100,
    tagged: bool = True,
    peer: str = "",
    direct: bool = False,
    threads: int = 1,
    events: int | None = None,
    slow: bool = False,
) -> Case:
    return Case(
        name=f"run.{name}",
        run=partial(
            _run_records,
            cgroups=cgroups,
            tagged=tagged,
            peer=peer,
            direct=direct,
            threads=threads,
            events=events,
        ),
        slow=slow,
    )


COMMANDS: list[Case] = [
    *(
        _records_case(
            f"records-untagged{'-direct' if direct else ''}{more}.{events}",
            tagged=False,
            peer=f"peer.blkparse-btt.{events}",
            direct=direct,
            threads=threads,
            events=events,
            slow=events > min(SIZES),
        )
        for events in SIZES
        for direct in (True, False)
        for threads, more in ((1, ""), (2, "-2-threads"))
    ),
    _records_case("records", peer="peer.duckdb" if has_duckdb() else ""),
    _records_case("records-100000-cgroups", cgroups=100_000, slow=True),
    Case(name="run.rows", run=_run_rows),
]
