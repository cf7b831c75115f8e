"""Everything that reads what others wrote, each as a function of some bytes.

A surface returns something short that tells one good input from another; what it
refuses is a `ReplayError` of one line; everything else is a finding.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import replay
from replay.capture.facts import recorded_facts
from replay.capture.saved import moved, read_tree
from replay.common.errors import ReplayError
from replay.results.run_check import checked_info
from replay.scenario.keys.load import Scenario
from replay.trace.formats.options import FormatOptions

TOP: Final = Path(__file__).parents[2]
TRACE: Final = TOP / "traces" / "seed-unlimited"


def _converted(path: Path, folder: Path, **options: Any) -> int:
    output = folder / "out.arrow"
    with replay.convert(path, output, overwrite=True, **options) as trace:
        for batch in trace.batches():
            batch.validate(full=True)
        return trace.n_rows


def text(data: bytes, folder: Path) -> int:
    """A text of an unknown format: blkparse's, a public trace's, a CSV."""
    path = folder / "input"
    path.write_bytes(data)
    return _converted(path, folder)


def columns(data: bytes, folder: Path) -> int:
    """What ``--columns`` says, of a CSV."""
    path = folder / "rows.csv"
    path.write_text("a,b,c,d\n0,0,4096,w\n1,8,512,r\n")
    told = data.decode("utf-8", "replace")
    return _converted(path, folder, format=FormatOptions(name="csv", columns=told))


def arrow(data: bytes, folder: Path) -> int:
    """A trace file."""
    path = folder / "t.arrow"
    path.write_bytes(data)
    with replay.open_trace(path) as trace:
        return sum(batch.num_rows for batch in trace.batches())


def scenario(data: bytes, folder: Path) -> int:
    """A scenario's file."""
    path = folder / "s.toml"
    path.write_bytes(data)
    return len(Scenario.load(path).cgroups)


def setting(data: bytes, folder: Path) -> str:
    """What ``--set`` says."""
    told = data.decode("utf-8", "replace")
    return str(Scenario.load(overrides=[told]).driver.policy)


def result(data: bytes, folder: Path) -> int:
    """A result's ``run.json``."""
    try:
        return len(checked_info(data))
    except ValueError as error:
        raise ReplayError(" ".join(str(error).split())) from error


def table(data: bytes, folder: Path) -> int:
    """A table of a result."""
    place = folder / "result"
    if not place.exists():
        replay.run(TRACE, output=place)
    shutil.copyfile(place / "charges.parquet", folder / "kept")
    try:
        (place / "charges.parquet").write_bytes(data)
        return int(replay.compare(place, place).measures.num_rows)
    finally:
        shutil.copyfile(folder / "kept", place / "charges.parquet")


def dataset(data: bytes, folder: Path) -> int:
    """A dataset's manifest."""
    place = folder / "fleet"
    if not place.exists():
        replay.batch([TRACE], [], output=place, jobs=1)
    manifest = place / "_replay" / "dataset.json"
    kept = manifest.read_bytes()
    try:
        manifest.write_bytes(data)
        return int(replay.open_dataset(place).runs.num_rows)
    finally:
        manifest.write_bytes(kept)


def capture(data: bytes, folder: Path) -> int:
    """What is saved beside a trace: parts between blank lines are its files."""
    place = folder / "capture"
    shutil.rmtree(place, ignore_errors=True)
    (place / "begin" / "root").mkdir(parents=True)
    for name, part in zip(CAPTURE, data.split(b"\n\n"), strict=False):
        (place / name).write_bytes(part)
    moved(place)
    facts = recorded_facts(place)
    return len(read_tree(place)) + len(Scenario.from_dict({}, facts=facts).cgroups)


#: Files of a recording, in the order in which an input has them.
CAPTURE: Final = (
    *("ids", "begin/root/memory.max", "begin/root/cgroup.controllers"),
    *("begin/machine.toml", "moves", "begin/root/tasks", "begin/root/io.max"),
)
ORDERS: Final[tuple[Literal["<", ">"], ...]] = ("<", ">")
SURFACES: Final[dict[str, Callable[[bytes, Path], Any]]] = {
    "text": text,
    "columns": columns,
    "arrow": arrow,
    "scenario": scenario,
    "set": setting,
    "result": result,
    "table": table,
    "dataset": dataset,
    "capture": capture,
}
#: Those whose good inputs are made by this version, at this place.
MADE: Final = ("arrow", "result", "table", "dataset")


def seeds_of(surface: str) -> list[bytes]:
    """Inputs that are good, or nearly."""
    from support.blktrace import Event, cpu_files

    if surface == "decoder":
        events = [
            Event(letter, 1000 * i + 90 * step, 64 * i, 8192, cpu=i % 3, cgroup=23)
            for i in range(4)
            for step, letter in enumerate("QGIDC")
        ]
        return [
            b"".join(cpu_files(events, version=version, order=order))
            for version in (7, 8)
            for order in ORDERS
        ]
    if surface == "text":
        return [
            b"0 1 8,0 W 4096 8\n",
            b"time,offset,size,op\n0,0,4096,w\n",
            b"  8,0    1   1     0.000000000   697  Q   W 223490 + 8 [kjournald]\n",
            b"128166372003061629,hm,0,Read,2096128,512,2046\n",
        ]
    if surface == "columns":
        return [b"time=a:s,offset=b:B,size=c:B,op=d", b"time=a:us,sector=b,size=c:KiB"]
    if surface == "scenario":
        return [path.read_bytes() for path in sorted((TOP / "traces").glob("*.toml"))]
    if surface == "set":
        return [
            b"driver.policy=root",
            b"/a/memory.max=64M",
            b'/a/tasks=[{comm="dd",rss="1300K"}]',
            b"machine.memory=1G",
        ]
    return _made(surface)


def _made(surface: str) -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if surface == "arrow":
            replay.convert(TRACE, place / "t.arrow").close()
            return [(place / "t.arrow").read_bytes()]
        if surface == "dataset":
            replay.batch([TRACE], [], output=place / "fleet", jobs=1)
            return [(place / "fleet" / "_replay" / "dataset.json").read_bytes()]
        if surface in ("result", "table"):
            replay.run(TRACE, output=place / "result")
            name = "run.json" if surface == "result" else "charges.parquet"
            return [(place / "result" / name).read_bytes()]
    return [
        b"23 /a\n24 /a/b\n\n1048576\n\nmemory io\n\nhz = 250\ncpus = 2\n[dirty]\n"
        b'dirty_ratio = 20\n[loops."loop0"]\nfile = "/f"\ndirect_io = 1\n'
        b'filesystem = "ext4"\nsize = 4096\n\n5 41 23 java\n\n41 2 4096 0 java\n\n'
        b"7:0 rbps=1048576\n"
    ]
