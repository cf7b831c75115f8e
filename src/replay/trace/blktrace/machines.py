"""Tell captures of one machine, which can be merged, from those of several.

A capture does not say which machine it is of. But a device can be traced only once at
a time: two captures that hold what one CPU did with one device at the same time are of
two machines, or copies of one recording. Other CPUs may be files of one set that are
not named as such, if their clocks agree. Numbers of processes, cgroups and devices of
two machines mean different things, and what is lost of each could not be counted.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from replay.common.errors import TraceError
from replay.trace.blktrace._scan import Scan
from replay.trace.blktrace.batches import CaptureFile
from replay.trace.file.schema import device_text

#: Tells a file's devices, as a rule.
HEAD_BYTES: Final = 1 << 16
#: By device and CPU: begin and end, ns.
Spans = dict[tuple[int, int], tuple[int, int]]


def one_machine(captures: Mapping[str, Sequence[CaptureFile]]) -> list[str]:
    """Check that captures are of one machine.

    Parameters
    ----------
    captures : mapping
        Name to files, two or more; shifted, so that they are on one clock.

    Returns
    -------
    list of str
        What cannot be told for sure, a line each.

    Raises
    ------
    TraceError
        Two captures cannot be of one machine.

    Notes
    -----
    Files are read to their ends only where that is needed to tell.
    """
    doubts = []
    whole: dict[str, Spans] = {}
    heads = {name: _spans(files, HEAD_BYTES) for name, files in captures.items()}
    for a, b in combinations(captures, 2):
        other_boot = captures[a][0].shift_ns != captures[b][0].shift_ns
        if not (other_boot or _devices(heads[a]) & _devices(heads[b])):
            continue
        for name in (a, b):
            if name not in whole:
                whole[name] = _spans(captures[name])
        shared = sorted(_devices(whole[a]) & _devices(whole[b]))
        for device in shared:
            if _clash(whole[a], whole[b], device, other_boot):
                raise TraceError(
                    f"{a} and {b}: both hold {device_text(device)} at the same time, "
                    "so they are of two machines, or copies of one recording: convert "
                    "them one by one"
                )
        if not other_boot:
            continue
        if shared:
            doubts.append(
                f"{a} and {b} both hold {device_text(shared[0])}, one after the other: "
                "taken to be of one machine: if they are of two, convert them one by "
                "one"
            )
        elif _overlap(_all(whole[a]), _all(whole[b])):
            doubts.append(
                f"{a} and {b} overlap in time, though their clocks differ: if they are "
                "of two machines, convert them one by one: the processes and cgroups "
                "of both are taken for the same"
            )
    return doubts


def _spans(files: Sequence[CaptureFile], n_bytes: int | None = None) -> Spans:
    """Find when each device's events begin and end, on the common clock."""
    found: Spans = {}
    for file in files:
        data = memoryview(file.data)[:n_bytes]
        for key, (begin, end) in (Scan(data).spans() if data.nbytes else {}).items():
            begin, end = begin + file.shift_ns, end + file.shift_ns
            known = found.get(key, (begin, end))
            found[key] = min(known[0], begin), max(known[1], end)
    return found


def _devices(spans: Spans) -> set[int]:
    return {device for device, _ in spans}


def _clash(a: Spans, b: Spans, device: int, other_boot: bool) -> bool:
    """Return True if two recordings have a device at the same time, as one cannot."""
    mine = {key: span for key, span in a.items() if key[0] == device}
    others = {key: span for key, span in b.items() if key[0] == device}
    if other_boot:
        return _overlap(_all(mine), _all(others))
    return any(_overlap(mine[key], others[key]) for key in mine.keys() & others.keys())


def _all(spans: Spans) -> tuple[int, int]:
    """Return the span of all devices; an empty one if there are none."""
    if not spans:
        return 0, 0
    return min(one[0] for one in spans.values()), max(one[1] for one in spans.values())


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
