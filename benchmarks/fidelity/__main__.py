"""Replay every recording, and predict limited runs from unlimited ones.

    python -m benchmarks.fidelity [--write] [--recordings DIR]

Prints predicted, kernel's and error as Markdown; with --write to docs/fidelity.md. Exit
code 1 if a number is out of its bounds. Recordings lie in ``../shared`` beside a
checkout (or in REPLAY_SHARED), where that is absent in ``traces``; or in DIR, each in a
folder of its own. Predictions are made of those that have the names of the lab's.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.fidelity import block, cache, cost, memory, own, predicted
from benchmarks.fidelity.page import page
from benchmarks.fidelity.recordings import TRACES, Lab
from benchmarks.fidelity.rows import Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fidelity.md"
SECTIONS = {
    "Memory on tmpfs": memory.rows,
    "Page cache of a file on ext4": cache.rows,
    "Predicted from a recording without the limit, or under another driver": (
        predicted.rows
    ),
    "`io.weight` (iocost), predicted from a recording without it": cost.rows,
    "The disk below, and loop on loop": block.rows,
}
OWN = "Replayed under the driver of the recording"


def default_recordings() -> Path:
    """Return where the recordings of 6.1 lie."""
    shared = Path(os.environ.get("REPLAY_SHARED", ROOT.parent / "shared"))
    folder = shared / "ground-truth" / "6.1"
    return folder if folder.is_dir() else TRACES


def report(lab: Lab) -> dict[str, list[Row]]:
    """Replay all of it.

    Parameters
    ----------
    lab : Lab

    Returns
    -------
    dict of str to list of Row
    """
    found = {title: list(rows(lab)) for title, rows in SECTIONS.items()}
    names = [name for name in lab.names() if name not in block.NAMES]
    found[OWN] = [row for name in names for row in own.rows(lab, name)]
    return {title: rows for title, rows in found.items() if rows}


def main() -> None:
    """Print or write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="to docs/fidelity.md")
    parser.add_argument(
        "--recordings", type=Path, metavar="DIR", help="others of yours"
    )
    chosen = parser.parse_args()
    folder = chosen.recordings or default_recordings()
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such directory; name one by --recordings")
    if chosen.write and folder == TRACES:
        raise SystemExit("--write: the page is of all recordings, and few are here")
    with tempfile.TemporaryDirectory() as place:
        lab = Lab(folder, Path(place))
        sections = report(lab)
    text = page(sections)
    if chosen.write:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)
    if not all(row.holds for rows in sections.values() for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
