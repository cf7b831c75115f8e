"""Measure what `replay` does in a second, and what others do with the same bytes.

    python -m benchmarks.rates              everything, some minutes
    python -m benchmarks.rates --quick      less of it, in a minute
    python -m benchmarks.rates --case engine.direct --case peer
    python -m benchmarks.rates --write      write benchmarks/RESULTS.md and releases/

Traces are generated (`benchmarks.generate`) and kept under build/benchmarks. A median
says what to expect, the fastest repeat what the machine can do when nothing disturbs;
CPU is the processors' time, which others on the same machine hardly change.
"""

import argparse
import datetime
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.cases.registry import Bench, Case
from benchmarks.goals import goals
from benchmarks.machine import describe
from benchmarks.measure import Result, compile_modules
from benchmarks.releases import changes, kept, last_before, write
from benchmarks.table import table
from replay.common.version import VERSION

TOP = Path(__file__).parents[1]
RESULTS = TOP / "benchmarks" / "RESULTS.md"
FULL = {"events": 10_000_000, "requests": 2_000_000, "repeats": 5}
QUICK = {"events": 500_000, "requests": 300_000, "repeats": 3}


def parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    made = argparse.ArgumentParser(
        prog="benchmarks.rates", description=__doc__.partition("\n")[0]
    )
    add = made.add_argument
    add("--quick", action="store_true", help="smaller traces, fewer cases and repeats")
    add("--huge", action="store_true", help="traces of 10^8 events too: 7 GB")
    add(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="only cases whose name begins so; may be given again",
    )
    add("--list", action="store_true", help="name the cases and end")
    add("--events", type=int, help="records of a recording")
    add("--requests", type=int, help="requests of a trace for the engine")
    add("--repeats", type=int)
    add(
        "--write",
        action="store_true",
        help=f"write {RESULTS.relative_to(TOP)} and the release's JSON",
    )
    add("--directory", type=Path, default=TOP / "build" / "benchmarks")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = parser().parse_args(arguments)
    cases = _chosen(given.case, quick=given.quick, huge=given.huge)
    if not cases:
        print(f"no case begins with {' or '.join(given.case)}", file=sys.stderr)
        return 2
    if given.list:
        print("\n".join(case.name for case in cases))
        return 0
    amounts = QUICK if given.quick else FULL
    for name in amounts:
        if (value := getattr(given, name)) is not None:
            amounts = {**amounts, name: value}
    compile_modules()
    given.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="run-") as scratch:
        bench = Bench(root=given.directory, scratch=Path(scratch), **amounts)
        results = [result for case in cases if (result := _run(case, bench))]
    command = shlex.join(
        ["python", "-m", "benchmarks.rates", *(arguments or sys.argv[1:])]
    )
    absent = sorted({name for case in cases for name in case.missing})
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    found = kept(results, describe(), today)
    since = changes(found, last_before(VERSION))
    text = page(results, command, bench.repeats, absent, found, since)
    print(text)
    if given.write:
        RESULTS.write_text(text)
        write(found, VERSION)
    return 0


def _chosen(prefixes: list[str], *, quick: bool, huge: bool) -> list[Case]:
    return [
        case
        for case in CASES
        if case.name.startswith(tuple(prefixes) or ("",))
        and not (quick and case.slow)
        and (huge or not case.huge)
    ]


def _run(case: Case, bench: Bench) -> Result | None:
    if case.missing:
        print(f"{case.name}: {', '.join(case.missing)} absent", file=sys.stderr)
        return None
    started = time.perf_counter()
    result = case.run(case.name, bench)
    took = time.perf_counter() - started
    print(f"{case.name}: {took:.1f} s with its preparation", file=sys.stderr)
    return result


def page(
    results: list[Result],
    command: str,
    repeats: int,
    absent: Sequence[str],
    found: dict[str, Any],
    since: str,
) -> str:
    """Make the page of results.

    Parameters
    ----------
    results : list of Result
    command : str
        That made them.
    repeats : int
    absent : sequence of str
        What was not there to be compared with.
    found : dict of str to Any
        From `benchmarks.releases.kept`.
    since : str
        From `benchmarks.releases.changes`.

    Returns
    -------
    str
        Markdown.
    """
    facts = "\n".join(f"- {name}: {text}" for name, text in found["machine"].items())
    if absent:
        facts += f"\n- not installed, so not compared with: {', '.join(absent)}"
    return (
        "# Rates\n\n"
        f"Made on {found['date']} by `{command}`: median and fastest of {repeats}"
        " repeats (memory: one; start-up: more), caches warm where nothing else is"
        " said; CPU: least processors' time. Ratios are of medians.\n"
        "A recording's events are its Q, G, M, P, I, U, D and C, about 5.2 a request."
        " One core, unless threads are named.\n\n"
        f"{facts}\n\n"
        f"{goals(results)}\n"
        f"{since}"
        f"{table(results)}"
    )


if __name__ == "__main__":
    sys.exit(main())
