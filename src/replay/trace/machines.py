"""Tell captures of one machine, which can be merged, from those of several.

A capture does not say which machine it is of. But a device can be traced only once at
a time: two captures that hold one device at the same time are of two machines, or
copies of one recording. Numbers of processes, cgroups and devices of two machines mean
different things, and what is lost of each could not be counted.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from replay.errors import TraceError
from replay.trace._scan import Scan
from replay.trace.blktrace import Source
from replay.trace.schema import device_text

#: Tells a file's devices, as a rule.
HEAD_BYTES: Final = 1 << 16
Spans = dict[int, tuple[int, int]]


def one_machine(captures: Mapping[str, Sequence[Source]]) -> list[str]:
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
        if not (other_boot or heads[a].keys() & heads[b].keys()):
            continue
        for name in (a, b):
            if name not in whole:
                whole[name] = _spans(captures[name])
        shared = sorted(whole[a].keys() & whole[b].keys())
        for device in shared:
            if _overlap(whole[a][device], whole[b][device]):
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


def _spans(files: Sequence[Source], n_bytes: int | None = None) -> Spans:
    """Find when each device's events begin and end, on the common clock."""
    found: Spans = {}
    for file in files:
        data = memoryview(file.data)[:n_bytes]
        for device, (begin, end) in (Scan(data).spans() if data.nbytes else {}).items():
            begin, end = begin + file.shift_ns, end + file.shift_ns
            known = found.get(device, (begin, end))
            found[device] = min(known[0], begin), max(known[1], end)
    return found


def _all(spans: Spans) -> tuple[int, int]:
    """Return the span of all devices; an empty one if there are none."""
    if not spans:
        return 0, 0
    return min(one[0] for one in spans.values()), max(one[1] for one in spans.values())


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
