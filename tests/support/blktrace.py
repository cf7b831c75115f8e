"""blktrace's records of both versions and byte orders, made for tests.

Events and notes as bytes, what they decode to, files as blktrace leaves them, and the
lines that a blkparse that knows cgroup ids prints of them: the packaged one (1.2)
rejects every event with an id. Only what `replay` needs of these: see `PATTERN`.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
from replay.trace.blktrace.slices import SliceSizes
from replay.trace.file.metadata import Summary

LOOP0 = 7 << 20
LETTERS = {
    "Q": 1,
    "M": 2,
    "F": 3,
    "G": 4,
    "S": 5,
    "R": 6,
    "D": 7,
    "C": 8,
    "P": 9,
    "U": 10,
    "T": 11,
    "I": 12,
    "X": 13,
    "A": 15,
}
CATEGORIES = {
    "read": 1 << 0,
    "write": 1 << 1,
    "flush": 1 << 2,
    "sync": 1 << 3,
    "queue": 1 << 4,
    "requeue": 1 << 5,
    "issue": 1 << 6,
    "complete": 1 << 7,
    "fs": 1 << 8,
    "pc": 1 << 9,
    "notify": 1 << 10,
    "ahead": 1 << 11,
    "meta": 1 << 12,
    "discard": 1 << 13,
    "fua": 1 << 15,
    "zone_reset": 1 << 17,
    "write_zeroes": 1 << 22,
}
#: The categories by which an operation is known.
OP_CATEGORIES = {
    "read": ("read",),
    "write": ("write",),
    "discard": ("write", "discard"),
    # the flush machinery's own: an even operation code reads as read
    "flush": ("read", "flush"),
    # a bio of fsync: a write without data
    "flush_bio": ("write", "flush", "sync"),
    "write_zeroes": ("write", "write_zeroes"),
    "zone": ("write", "zone_reset"),
    "passthrough": ("read", "pc"),
}

ByteOrder = Literal["<", ">"]


@dataclass(frozen=True)
class Event:
    """What one record says; ``op`` is a key of `OP_CATEGORIES`."""

    letter: str
    time_ns: int
    sector: int = 0
    nbytes: int = 4096
    op: str = "write"
    extra: tuple[str, ...] = ()
    device: int = LOOP0
    cpu: int = 0
    pid: int = 100
    cgroup: int = 0
    error: int = 0
    #: For X: the first sector of what remains.
    rest: int | None = None

    @property
    def category(self) -> int:
        """The category bits."""
        names = (*OP_CATEGORIES[self.op], *self.extra)
        return sum(CATEGORIES[name] for name in dict.fromkeys(names))


def record(
    action: int,
    *,
    time_ns: int = 0,
    sector: int = 0,
    nbytes: int = 0,
    pid: int = 0,
    device: int = LOOP0,
    cpu: int = 0,
    error: int = 0,
    seq: int = 0,
    payload: bytes = b"",
    version: int = 7,
    order: ByteOrder = "<",
) -> bytes:
    """Pack a record; all fields as they are given."""
    magic = 0x65617400 | version
    if version == 7:
        head = struct.pack(
            order + "IIQQIIIIIHH",
            *(magic, seq, time_ns, sector, nbytes, action, pid, device, cpu),
            *(error, len(payload)),
        )
    else:
        head = struct.pack(
            order + "IIQQIIQIIHH12x",
            *(magic, seq, time_ns, sector, nbytes, pid, action, device, cpu),
            *(error, len(payload)),
        )
    return head + payload


def event_bytes(
    event: Event, seq: int, *, version: int = 7, order: ByteOrder = "<"
) -> bytes:
    """Pack an event as the kernel writes it."""
    action = LETTERS[event.letter] | event.category << 16
    payload = b""
    if event.cgroup:
        action |= 1 << 8
        payload = struct.pack(order + "Q", event.cgroup)
    if event.rest is not None:
        payload += struct.pack(">Q", event.rest)
    return record(
        action,
        time_ns=event.time_ns,
        sector=event.sector,
        nbytes=event.nbytes,
        pid=event.pid,
        device=event.device,
        cpu=event.cpu,
        error=event.error & 0xFFFF,
        seq=seq,
        payload=payload,
        version=version,
        order=order,
    )


def note(
    kind: int,
    payload: bytes,
    *,
    time_ns: int = 0,
    pid: int = 0,
    cpu: int = 0,
    cgroup: int = 0,
    garbage: bool = False,
    version: int = 7,
    order: ByteOrder = "<",
) -> bytes:
    """Pack a note: 0 a process name, 1 a timestamp, 2 a message."""
    action = kind | CATEGORIES["notify"] << 16
    if cgroup:
        action |= 1 << 8
        payload = struct.pack(order + "Q", cgroup) + payload
    junk = 0xDEADBEEF if garbage else 0
    return record(
        action,
        time_ns=time_ns,
        sector=junk << 31,
        nbytes=junk,
        pid=pid,
        cpu=cpu,
        error=junk & 0xFFFF,
        seq=junk,
        payload=payload,
        version=version,
        order=order,
    )


def process_note(name: bytes, *, pid: int, time_ns: int = 0, cpu: int = 0) -> bytes:
    """Pack the note that gives a process its name."""
    return note(0, name.ljust(16, b"\0"), pid=pid, time_ns=time_ns, cpu=cpu)


def cpu_files(
    events: Iterable[Event], *, version: int = 7, order: ByteOrder = "<"
) -> list[bytes]:
    """Pack events into one file a CPU, by the sequence numbers of each."""
    files: dict[int, list[bytes]] = {}
    for event in events:
        records = files.setdefault(event.cpu, [])
        records.append(
            event_bytes(event, len(records) + 1, version=version, order=order)
        )
    return [b"".join(records) for _, records in sorted(files.items())]


def decode(
    files: Sequence[bytes],
    *,
    batch_rows: int = 1 << 10,
    window: int = 1 << 20,
    sizes: SliceSizes | None = None,
) -> tuple[pa.Table, Summary]:
    """Decode files given as bytes, in slices if sizes are given.

    Every batch is checked by Arrow.
    """
    batches = BlktraceBatches(
        [CaptureFile(f"test.blktrace.{cpu}", data) for cpu, data in enumerate(files)],
        batch_rows=batch_rows,
        window=window,
    )
    if sizes is not None:
        batches.use_threads(2)
        batches.sizes = sizes
    tables = []
    for batch in batches:
        batch.validate(full=True)
        tables.append(batch)
    summary = batches.summary
    schema = tables[0].schema if tables else None
    return pa.Table.from_batches(tables, schema=schema) if tables else None, summary


def rows_of(table: pa.Table | None) -> list[dict[str, object]]:
    """Show rows as dicts."""
    return [] if table is None else list(table.to_pylist())


def decode_events(
    events: Sequence[Event], *, batch_rows: int = 1 << 10, window: int = 1 << 20
) -> tuple[list[dict[str, object]], Summary]:
    """Decode events from per-CPU files of version 7."""
    table, summary = decode(cpu_files(events), batch_rows=batch_rows, window=window)
    return rows_of(table), summary


def writes(count: int, *, start_ns: int = 1000, cgroup: int = 23) -> bytes:
    """Make the events of 4 KiB writes one after another, 0.9 µs from Q to C each."""
    events = [
        Event(
            letter,
            start_ns + 2000 * number + 300 * step,
            sector=8 * number,
            cgroup=0 if letter == "C" else cgroup,
        )
        for number in range(count)
        for step, letter in enumerate("QGDC")
    ]
    return b"".join(cpu_files(events))


def write_set(directory: Path, name: str, **cpus: bytes) -> None:
    """Write per-CPU files: ``write_set(d, "loop0", cpu0=…, cpu2=…)``."""
    for cpu, data in cpus.items():
        number = cpu.removeprefix("cpu")
        (directory / f"{name}.blktrace.{number}").write_bytes(data)


#: As ``blkparse -f``.
PATTERN: Final = r"%D %2c %8s %5T.%9t %5p %2a %3d %S + %N [%C] (%e) %g %U\n"
_HEADER: Final = struct.Struct("<IIQQIIIIIHH")
_LETTER_OF: Final = {code: letter for letter, code in LETTERS.items()} | {14: "B"}
_NOTIFY: Final = 1 << 10


def printed(paths: Iterable[Path]) -> str:
    """Print version 7 records of per-CPU files, merged by time.

    Parameters
    ----------
    paths : iterable of Path
        Files of little-endian records.

    Returns
    -------
    str
        Lines of `PATTERN`. Passthrough requests must not occur: a format given does not
        tell them.
    """
    found = sorted(
        (one for path in paths for one in _records(path.read_bytes())),
        key=lambda one: one[0],
    )
    start = min(time for (time, *_), kind, *_ in found if kind == "event")
    return "".join(
        f"{line[0]} {cpu:2} {line[1]} {(time - start) // 10**9:5}."
        f"{(time - start) % 10**9:09} {line[2]}\n"
        for (time, cpu, _), kind, line in found
        if kind == "event"
    )


def _records(
    data: bytes,
) -> Iterator[tuple[tuple[int, int, int], str, tuple[str, str, str]]]:
    at = 0
    while at + _HEADER.size <= len(data):
        (
            _,
            sequence,
            time,
            sector,
            nbytes,
            action,
            pid,
            device,
            cpu,
            error,
            n_payload,
        ) = _HEADER.unpack_from(data, at)
        payload = data[at + _HEADER.size : at + _HEADER.size + n_payload]
        at += _HEADER.size + n_payload
        category = action >> 16
        if category & _NOTIFY:
            yield (time, cpu, sequence), "note", ("", "", "")
            continue
        group = "-"
        if action & 0x100:
            low, high = struct.unpack_from("<II", payload)
            group = f"{low:x},{high:x}"
            payload = payload[8:]
        letter = _LETTER_OF[action & 0xFF]
        rest = int.from_bytes(payload[:8], "big") if letter == "X" else 0
        assert not category & 1 << 9
        tail = (
            f"{pid:5} {letter:>2} {_rwbs(category, nbytes):>3} {sector} + {nbytes} "
            f"[task {pid}] ({error}) {group} {rest}"
        )
        yield (
            (time, cpu, sequence),
            "event",
            (f"{device >> 20:3},{device & 0xFFFFF:<3}", f"{sequence:8}", tail),
        )


def _rwbs(category: int, nbytes: int) -> str:
    main = "R" if nbytes else "N"
    if category & 1 << 1:
        main = "W"
    if category & 1 << 13:
        main = "D"
    return (
        ("F" if category & 1 << 2 else "")
        + main
        + ("F" if category & 1 << 15 else "")
        + ("A" if category & 1 << 11 else "")
        + ("S" if category & 1 << 3 else "")
        + ("M" if category & 1 << 12 else "")
    )
