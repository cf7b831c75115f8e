"""Inputs that are kept for the next rounds: for each that did something new, the least.

``corpora/SURFACE`` holds one a line, packed and in base64.
"""

import base64
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("corpora")
#: Bytes of a file at most.
ROOM: Final = 64_000


def kept(surface: str) -> list[bytes]:
    """Return the inputs that are kept of a surface."""
    path = FOLDER / surface
    lines = path.read_text().splitlines() if path.exists() else []
    return [zlib.decompress(base64.b64decode(line)) for line in lines]


def keep(surface: str, inputs: Iterable[bytes]) -> None:
    """Keep inputs, the shortest first, as long as there is room."""
    room, lines = ROOM, []
    for line in sorted(map(_packed, set(inputs)), key=lambda line: (len(line), line)):
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / surface).write_text("".join(f"{line}\n" for line in lines))


def least(inputs: Sequence[bytes], edges: Sequence[Iterable[int]]) -> list[bytes]:
    """Return a few inputs that take all edges: again and again the next short one."""
    left = set().union(*edges)
    found = []
    for data, taken in sorted(
        zip(inputs, map(set, edges), strict=True), key=lambda one: len(one[0])
    ):
        if left & taken:
            left -= taken
            found.append(data)
    return found


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()
