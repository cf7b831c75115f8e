"""Fuzz the readers for as long as wanted: ``python tests/fuzz/run.py --seconds 600``.

Each round damages a capture (truncate, flip, splice, lengths and counts at their
limits) and reads it in every way there is: requests, events, taken apart by CPU, as a
whole conversion of compressed files, archives and text. What comes out must be a valid
trace whose counts add up to the records read, or be refused in one line; in bounded
time. A round is made of its seed alone: ``--seed N --rounds 1`` repeats round N.
"""

import argparse
import bz2
import gzip
import io
import lzma
import os
import random
import resource
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

TOP: Final = Path(__file__).parents[2]
sys.path[:0] = [str(TOP / "tests")]

import replay  # noqa: E402
from replay.common.errors import ReplayError  # noqa: E402
from replay.trace.blktrace._scan import Scan  # noqa: E402
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile  # noqa: E402
from replay.trace.file.metadata import Quality  # noqa: E402
from replay.trace.formats.options import FormatOptions  # noqa: E402
from support.blktrace import Event, cpu_files, event_bytes, note  # noqa: E402
from support.samples import SAMPLES, UNTOLD  # noqa: E402

#: A round reads less than 300 KB, which takes milliseconds; a machine may be busy.
MOST_SECONDS: Final = 20.0
#: What a run may need at most, whatever the inputs claim.
MOST_BYTES: Final = 2 << 30
LIMITS: Final = (0, 1, 7, 8, 0x7F, 0x80, 0xFE, 0xFF)
HEAD_BYTES: Final = 16_000
REAL: Final = (
    "ground-truth/6.1/fs-on-loop/loop0.blktrace.*",
    "ground-truth/6.1/direct-iomax/vdc.blktrace.*",
    "public-traces/NetSys_disaggregation/*.blktrace.*",
    "public-traces/Romeus_blkparseanalyzer/*.bin",
    "public-traces/isotopp_blktrace_to_influx/*.blktrace.*",
    "public-traces/liuzel01_mynotes/*.blktrace.*",
)
#: Formats of text and of records of one size: by name, what the user says, a piece.
OTHERS: Final = [
    (
        name,
        data,
        {"columns": "time=a:s,offset=b:B,size=c:B,op=d"} if name == "csv" else {},
    )
    for name, data in (SAMPLES | UNTOLD).items()
    if name != "blktrace"
]


def captures(shared: Path | None) -> list[list[bytes]]:
    """Undamaged captures: made by hand, and the heads of real ones."""
    events = [
        Event(letter, 1_000 * i + 90 * step, 64 * i, 8192, cpu=i % 3, cgroup=23, pid=i)
        for i in range(30)
        for step, letter in enumerate("QGIDC")
    ]
    events += [
        Event("X", 1_000 * i + 5, 64 * i, 4096, rest=64 * i + 8) for i in range(9)
    ]
    found = [
        cpu_files(events, version=version, order=order)
        for version in (7, 8)
        for order in ("<", ">")
    ]
    found.append([b"".join(found[0])])
    found.append([note(2, b"odd" * n, time_ns=n) for n in range(3)] + [found[0][0]])
    found.append([b"".join(event_bytes(one, n) for n, one in enumerate(events))])
    for pattern in REAL if shared is not None else ():
        assert shared is not None
        paths = sorted(shared.glob(pattern))
        if paths:
            found.append([path.read_bytes()[:HEAD_BYTES] for path in paths[:4]])
    return found


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Give a file some blows."""
    out = bytearray(data)
    for _ in range(rng.randint(0, 6)):
        if not out:
            break
        at, other = rng.randrange(len(out)), rng.randrange(len(out))
        blow = rng.randrange(8)
        if blow == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif blow == 1:
            del out[at:]
        elif blow == 2:
            out[at:at] = out[other : other + rng.randrange(300)]
        elif blow == 3:
            # a field of a record, whose start is found by its magic's last bytes
            start = max(out.rfind(b"tae", 0, at) - 1, 0)
            offset = start + 4 * rng.randrange(16)
            width = rng.choice((2, 4, 8))
            out[offset : offset + width] = bytes([rng.choice(LIMITS)]) * width
        elif blow == 4:
            out += out[at : at + rng.randrange(5_000)]
        elif blow == 5:
            del out[at : at + rng.randrange(300)]
        elif blow == 6:
            out[at:at] = rng.randbytes(rng.randrange(200))
        else:
            out[at : at + 8] = out[other : other + 8]
    return bytes(out)


def check_quality(quality: Quality, n_bytes: int) -> None:
    """Every record is counted once, and no byte twice."""
    n_known = sum(quality.events.values()) + sum(quality.notes.values())
    assert quality.records == n_known + quality.unknown, quality
    used = 48 * quality.records + quality.refused_bytes + quality.truncated_bytes
    assert used <= n_bytes, (used, n_bytes)


def check_requests(files: Sequence[bytes], window: int) -> None:
    """Read requests; rows and counts must fit."""
    rows = BlktraceBatches(
        [CaptureFile(f"f{n}", data) for n, data in enumerate(files)],
        batch_rows=100,
        window=window,
    )
    n_rows = n_bios = n_complete = 0
    last = -1
    for batch in rows:
        batch.validate(full=True)
        n_rows += batch.num_rows
        n_bios += sum(batch.column("n_bios").to_pylist())
        n_complete += batch.num_rows - batch.column("complete_ns").null_count
        for issue, queue in zip(
            batch.column("issue_ns").to_pylist(),
            batch.column("queue_ns").to_pylist(),
            strict=True,
        ):
            key = queue if issue is None else issue
            assert key >= last
            last = key
    quality = rows.summary.quality
    check_quality(quality, sum(map(len, files)))
    expected = quality.events.get("Q", 0) + quality.events.get("X", 0)
    assert n_bios == expected - quality.unmatched.get("split", 0)
    assert n_rows == n_complete + quality.unfinished + quality.never_issued


def check_parts(data: bytes) -> None:
    """Take a stream apart; no byte may come twice."""
    scan = Scan(data)
    scan.clock()
    for begin, end in scan.spans().values():
        assert 0 <= begin <= end < 1 << 64
    parts = scan.parts()
    if not parts:
        return
    total = sum(n_bytes for *_, n_bytes in parts)
    out = bytearray(total)
    places, end = [], 0
    for *_, n_bytes in parts:
        places.append(end)
        end += n_bytes
    refused, truncated = scan.split(out, places)
    assert total + refused + truncated <= len(data)


def pack(
    files: Sequence[bytes], folder: Path, rng: random.Random
) -> tuple[Path, FormatOptions]:
    """Lay the files down in one of the ways in which they come."""
    plain = FormatOptions()
    way = rng.randrange(5)
    packers: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress]
    packers += [lzma.compress, lambda data: pa.compress(data, "zstd", asbytes=True)]
    names = [f"sda.blktrace.{n}" for n in range(len(files))]
    if way == 0:
        for name, data in zip(names, files, strict=True):
            (folder / name).write_bytes(data)
        return folder, plain
    path = folder / "one"
    if way == 1:
        packed = rng.choice(packers)(files[0])
        path.write_bytes(damaged(packed, rng) if rng.random() < 0.7 else packed)
    elif way == 2:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in zip(names, files, strict=True):
                archive.writestr(name, data)
        path.write_bytes(damaged(path.read_bytes(), rng))
    elif way == 3:
        with tarfile.open(path, rng.choice(("w", "w:gz", "w:xz"))) as archive_:
            for name, data in zip(names, files, strict=True):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive_.addfile(info, io.BytesIO(data))
        path.write_bytes(damaged(path.read_bytes(), rng))
    else:
        return path, other_format(path, rng)
    return path, plain


def other_format(path: Path, rng: random.Random) -> FormatOptions:
    """Write a damaged file of another format; say which it is, or nothing, or a lie."""
    name, data, more = rng.choice(OTHERS)
    rows = data if rng.random() < 0.5 else data.partition(b"\n")[0] + data[-30:]
    path.write_bytes(damaged(data + rows * rng.randrange(30), rng))
    if rng.random() < 0.1:
        return FormatOptions(name=rng.choice(OTHERS)[0])
    said = bool(more) or rng.random() < 0.7
    return FormatOptions(name=name if said else None, **more)


def check_conversion(files: Sequence[bytes], folder: Path, rng: random.Random) -> None:
    """Convert and open; events too."""
    path, options = pack(files, folder, rng)
    output = folder / "out.arrow"
    with replay.convert(path, output, format=options) as trace:
        for batch in trace.batches():
            batch.validate(full=True)
        quality = trace.metadata.summary.quality
        n_known = sum(quality.events.values()) + sum(quality.notes.values())
        assert quality.records == n_known + quality.unknown
        if trace.metadata.summary.format != "blktrace":
            return
    metadata = replay.convert_events(path, folder / "events.arrow")
    assert metadata.summary.n_rows == metadata.summary.quality.records


def one_round(seed: int, bases: Sequence[Sequence[bytes]], folder: Path) -> None:
    """Damage a capture and read it in every way."""
    rng = random.Random(seed)
    files = list(rng.choice(bases))
    which = rng.randrange(len(files))
    files[which] = damaged(files[which], rng)
    checks: list[Callable[[], None]] = [
        lambda: check_requests(files, rng.choice((1, 16, 1 << 20))),
        lambda: check_parts(files[which]),
        lambda: check_conversion(files, folder, rng),
    ]
    for check in checks:
        began = time.monotonic()
        refusal = "refused"
        try:
            check()
        except ReplayError as error:
            refusal = str(error)
        assert refusal
        assert not unraised, unraised
        assert "\n" not in refusal, refusal
        assert time.monotonic() - began < MOST_SECONDS
    for path in folder.iterdir():
        path.unlink()


#: What was printed on standard error because nobody could be told.
unraised: list[str] = []


def fuzz(
    seconds: float, seed: int, shared: Path | None, rounds: int | None = None
) -> int:
    """Run so many rounds, or until the time is over; return their number."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda what: unraised.append(repr(what.exc_value))
    bases = captures(shared)
    ends = time.monotonic() + seconds
    n_rounds = 0
    with tempfile.TemporaryDirectory(prefix="replay-fuzz-") as folder:
        while True:
            try:
                one_round(seed, bases, Path(folder))
            except BaseException:
                print(f"round {seed}: --seed {seed} --rounds 1", file=sys.stderr)
                raise
            seed += 1
            n_rounds += 1
            if n_rounds == rounds or (rounds is None and time.monotonic() >= ends):
                break
    sys.unraisablehook = hook
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert peak < MOST_BYTES, f"{peak} bytes of memory"
    return n_rounds


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, help="so many, whatever time it takes")
    parser.add_argument("--seed", type=int, default=int(time.time()) << 20)
    given = parser.parse_args()
    shared = Path(os.environ.get("REPLAY_SHARED", TOP.parent / "shared"))
    known = shared if shared.is_dir() else None
    n_rounds = fuzz(given.seconds, given.seed, known, given.rounds)
    print(f"{n_rounds:,} rounds from seed {given.seed}: nothing found")


if __name__ == "__main__":
    main()
