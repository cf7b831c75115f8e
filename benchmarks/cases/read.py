"""Recordings to rows: decode and pair, convert; beside them blkparse and cp."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import replay
from benchmarks.cases.registry import SIZES, Bench, Case
from benchmarks.measure import Result, repeat, run
from benchmarks.traces import trace_files
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
from replay.trace.inputs.find import map_file


def _decode(name: str, bench: Bench, *, cgroups: int) -> Result:
    directory, events = bench.recording(cgroups=cgroups)
    sources = [
        CaptureFile(str(path), map_file(path)) for path in trace_files(directory)
    ]

    def work() -> None:
        for _ in BlktraceBatches(sources):
            pass

    return Result(
        case=name,
        what=f"records to rows in memory, {cgroups:,} cgroups",
        unit="event",
        count=events,
        spent=repeat(work, bench.repeats),
    )


def _read(name: str, bench: Bench) -> Result:
    directory, events = bench.recording()
    paths = trace_files(directory)
    buffer = bytearray(1 << 20)

    def work() -> None:
        for path in paths:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    return Result(
        case=name,
        what="read() of the same bytes, nothing done with them",
        unit="event",
        count=events,
        spent=repeat(work, bench.repeats),
    )


def _convert(
    name: str, bench: Bench, *, tagged: bool, threads: int, peer: str
) -> Result:
    directory, events = bench.recording(tagged=tagged)
    output = bench.scratch / "converted.arrow"

    def work() -> None:
        replay.convert(directory, output, threads=threads, overwrite=True).close()

    spent = repeat(work, bench.repeats)
    output.unlink()
    words = f"{'' if tagged else 'un'}tagged, {threads} thread{'s'[: threads - 1]}"
    return Result(
        case=name,
        what=f"recording to trace file, {words}",
        unit="event",
        count=events,
        spent=spent,
        peer=peer,
    )


def _beside(
    name: str,
    bench: Bench,
    *,
    what: str,
    tagged: bool,
    commands: Callable[[Path, Path], list[list[str | Path]]],
    events: int | None = None,
) -> Result:
    """Time programs one after another, on a recording, in a directory of their own."""
    directory, n_events = bench.recording(tagged=tagged, events=events)
    own = bench.scratch / "peer"

    def before() -> None:
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()

    def work() -> None:
        for command in commands(directory, own):
            run(command, directory=own)

    spent = repeat(work, bench.repeats_of(n_events), before=before)
    shutil.rmtree(own)
    return Result(case=name, what=what, unit="event", count=n_events, spent=spent)


def _blkparse(directory: Path, own: Path) -> list[list[str | Path]]:
    return [["blkparse", "-q", "-i", directory / "loop0", "-O", "-d", own / "dump"]]


def _btt(directory: Path, own: Path) -> list[list[str | Path]]:
    return [
        *_blkparse(directory, own),
        ["btt", "-i", own / "dump", "-o", own / "btt"],
    ]


def _convert_case(
    name: str,
    *,
    tagged: bool = False,
    threads: int = 1,
    peer: str = "peer.blkparse",
) -> Case:
    return Case(
        name=f"convert.{name}",
        run=partial(_convert, tagged=tagged, threads=threads, peer=peer),
    )


READ: list[Case] = [
    Case(name="read.plain", run=_read),
    *(
        Case(
            name=f"decode.{cgroups}-cgroups",
            run=partial(_decode, cgroups=cgroups),
            slow=cgroups == 1000,
        )
        for cgroups in (10, 1000, 100_000)
    ),
    Case(
        name="peer.blkparse",
        run=partial(
            _beside,
            what="blkparse -d, which refuses cgroup ids: the untagged recording",
            tagged=False,
            commands=_blkparse,
        ),
        needs=("blkparse",),
    ),
    *(
        Case(
            name=f"peer.blkparse-btt.{events}",
            run=partial(
                _beside,
                what="blkparse -d, then btt: the untagged recording",
                tagged=False,
                commands=_btt,
                events=events,
            ),
            needs=("blkparse", "btt"),
            slow=events > min(SIZES),
        )
        for events in SIZES
    ),
    _convert_case("untagged"),
    _convert_case("untagged-2-threads", threads=2),
    _convert_case("tagged", tagged=True, peer=""),
]
