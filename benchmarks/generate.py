"""Write a large block trace of which everything is known: same seed, same bytes.

    python -m benchmarks.generate --events 10_000_000 --cgroups 100 --seed 1 OUTDIR

OUTDIR gets the per-CPU files that blktrace would write (``loop0.blktrace.0`` ...), with
``--rows`` the trace file that `replay convert` would make of them instead, and the file
``ids`` that gives the cgroups' ids their paths. Memory does not grow with the trace.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lanes import Lanes
from benchmarks.records import RecordFiles
from benchmarks.rows import write_rows
from benchmarks.shape import (
    MIXED_SIZES,
    SMALL_SIZES,
    Shape,
    cgroup_id,
    cgroup_path,
    requests_for,
)

ROWS_NAME = "trace.arrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was generated.

    Attributes
    ----------
    shape : Shape
    events : dict of str to int
        Records by letter.
    notes : int
        Notes beside them.
    nbytes : int
        Bytes of all trace files.
    """

    shape: Shape
    events: dict[str, int]
    notes: int
    nbytes: int

    @property
    def records(self) -> int:
        """Events and notes."""
        return sum(self.events.values()) + self.notes


def write_records(shape: Shape, directory: Path) -> Made:
    """Write a shape's per-CPU files and ``ids``.

    Parameters
    ----------
    shape : Shape
    directory : Path
        Made if it is not there; its files are replaced.

    Returns
    -------
    Made
    """
    _prepare(shape, directory)
    lanes = Lanes(shape)
    with RecordFiles(directory, shape, lanes.start_ns) as files:
        for requests, watermark in lanes.chunks():
            files.append(requests, watermark)
    sizes = [path.stat().st_size for path in directory.glob("*.blktrace.*")]
    return Made(
        shape=shape, events=dict(files.events), notes=files.notes, nbytes=sum(sizes)
    )


def _prepare(shape: Shape, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if shape.tagged:
        lines = [f"{cgroup_id(i)} {cgroup_path(i)}\n" for i in range(shape.cgroups)]
        (directory / "ids").write_text("".join(lines))


def parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    made = argparse.ArgumentParser(
        prog="benchmarks.generate", description=__doc__.partition("\n")[0]
    )
    add = made.add_argument
    add("directory", type=Path, metavar="OUTDIR")
    add("--events", type=int, default=10_000_000, help="records, about")
    add("--seed", type=int, default=1)
    add("--cgroups", type=int, default=10)
    add("--processes", type=int, default=2, help="of a cgroup")
    add("--devices", type=int, default=1)
    add("--cpus", type=int, default=4)
    add("--depth", type=int, default=32, help="requests in flight")
    add("--burst", type=int, default=1, help="requests of a process in a row")
    add("--pages", type=int, default=1 << 24, help="4 KiB pages to draw from")
    add("--sequential", action="store_true", help="walk the pages")
    add("--small", action="store_true", help="4 KiB each; else mixed sizes")
    add("--reads", type=int, default=96, help="share of requests, out of 256")
    add("--discards", type=int, default=2, help="likewise")
    add("--merges", type=int, default=16, help="likewise")
    add("--plugs", type=int, default=16, help="likewise")
    add("--think-ns", type=int, default=100_000)
    add("--base-ns", type=int, default=80_000, help="least latency")
    add("--untagged", action="store_true", help="no cgroup ids, as blkparse wants it")
    add("--rows", action="store_true", help=f"write {ROWS_NAME} instead of records")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = vars(parser().parse_args(arguments))
    directory: Path = given.pop("directory")
    events, rows = given.pop("events"), given.pop("rows")
    try:
        shape = Shape(
            requests=requests_for(events, merges=given["merges"], plugs=given["plugs"]),
            sizes=SMALL_SIZES if given.pop("small") else MIXED_SIZES,
            tagged=not given.pop("untagged"),
            **given,
        )
    except ValueError as error:
        print(f"benchmarks.generate: {error}", file=sys.stderr)
        return 2
    started = time.perf_counter()
    if rows:
        _prepare(shape, directory)
        output = directory / ROWS_NAME
        output.unlink(missing_ok=True)
        write_rows(shape, output)
        what, nbytes = f"{shape.requests:,} requests", output.stat().st_size
    else:
        made = write_records(shape, directory)
        what = f"{made.records:,} records of {shape.requests:,} requests"
        nbytes = made.nbytes
    took = time.perf_counter() - started
    print(f"{what}, {nbytes:,} bytes, {took:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
