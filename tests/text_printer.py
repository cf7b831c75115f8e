"""Print records as a blkparse that knows cgroup ids prints them, by format string.

The packaged blkparse (1.2) rejects every event with an id, so what a newer one prints
is made here. Only what `replay` needs of the format: see `PATTERN`.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

#: As ``blkparse -f``.
PATTERN: Final = r"%D %2c %8s %5T.%9t %5p %2a %3d %S + %N [%C] (%e) %g %U\n"
_HEADER: Final = struct.Struct("<IIQQIIIIIHH")
_LETTERS: Final = dict(zip(range(1, 16), "QMFGSRDCPUTIXBA", strict=True))
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
        letter = _LETTERS[action & 0xFF]
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
