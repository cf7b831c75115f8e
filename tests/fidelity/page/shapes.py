"""Shapes of a disk's model, each held against the recordings of a real disk.

``python -m fidelity.page.shapes`` (in ``tests``) prints the table of docs/disk.md.
"""

import tempfile
from pathlib import Path

import numpy as np

from fidelity.page.real_disk import B, replayed
from support.recordings import find

#: What each shape leaves out of what is identified.
SHAPES = {
    "occupancy and delay, in one budget": (
        *("disk.scheduler=none", "disk.descriptors=0", "disk.together=false"),
    ),
    "and a ring, first come, first served": (
        *("disk.scheduler=none", "disk.together=false"),
    ),
    "and the scheduler, with blk-mq's list": ("disk.together=false",),
    "and answers together, where they come so": (),
}
#: A recording with both, and the limit on b with which there is another one.
PAIRS = {
    "p1-both": "wbps=209715200",
    "p2-both": "rbps=104857600",
    "p3-both": "wiops=2000",
}


def cells(shape: tuple[str, ...], recording: str, limit: str, place: Path) -> list[str]:
    """Return what a shape says of a recording, and of it with the limit.

    Parameters
    ----------
    shape : tuple of str
        Keys of the scenario.
    recording, limit : str
    place : Path
        Where recordings are unpacked and results written.

    Returns
    -------
    list of str
    """
    folder = find(f"real-disk/{recording}", None, place)
    assert folder is not None
    with tempfile.TemporaryDirectory(dir=place) as one:
        keys = ["service.model=device", *shape]
        took, _, _ = replayed(folder, *keys, out=Path(one) / "itself")
        keys.append(f"{B}/io.max=254:0 {limit}")
        limited, _, _ = replayed(folder, *keys, out=Path(one) / "limited")
    p50, p99 = np.quantile(took, [0.5, 0.99])
    return [f"{took.mean():.0f} / {p50:.0f} / {p99:.0f}", f"{limited.mean():.0f}"]


def main() -> None:
    """Print a row for each shape."""
    with tempfile.TemporaryDirectory() as place:
        for name, shape in SHAPES.items():
            row = [name]
            for recording, limit in PAIRS.items():
                row += cells(shape, recording, limit, Path(place))
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
