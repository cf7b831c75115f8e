"""Replay every recording, and predict limited runs from unlimited ones.

    python -m fidelity [--write] [--recordings DIR]

Prints predicted, kernel's and error as Markdown; with --write to docs/fidelity.md. Exit
code 1 if a number is out of its bounds. Recordings are those that are packed in
``traces/packed``, of kernels from 5.10 to 7.3; or they lie in DIR, each in a folder of
its own. Predictions are made of those that have the names of the lab's.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fidelity.page import block, cache, cost, kernels, memory, own, predicted
from fidelity.page.bounds import Row
from fidelity.page.lab import Lab
from fidelity.page.layout import page
from support.recordings import TOP, packed_names, unpacked

PAGE = TOP / "docs" / "fidelity.md"
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
KERNELS = ("5.10", "6.12", "7.3")


def report(lab: Lab, packed: Path | None = None) -> dict[str, list[Row]]:
    """Replay all of it.

    Parameters
    ----------
    lab : Lab
        Recordings of 6.1.
    packed : Path or None
        Where those of other kernels are unpacked; None leaves them out.

    Returns
    -------
    dict of str to list of Row
    """
    found = {title: list(rows(lab)) for title, rows in SECTIONS.items()}
    names = [name for name in lab.names() if name not in block.NAMES]
    found[OWN] = [row for name in names for row in own.rows(lab, name)]
    if packed is not None:
        for kernel in KERNELS:
            title = f"Linux {kernel}, by its own rules"
            found[title] = list(kernels.rows(kernel, packed))
    return {title: rows for title, rows in found.items() if rows}


def main() -> None:
    """Print or write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="to docs/fidelity.md")
    parser.add_argument(
        "--recordings", type=Path, metavar="DIR", help="others of yours"
    )
    chosen = parser.parse_args()
    if chosen.recordings and not chosen.recordings.is_dir():
        raise SystemExit(f"{chosen.recordings}: no such directory")
    if chosen.recordings and chosen.write:
        raise SystemExit("--write: the page is of the recordings that are kept here")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folder, others = chosen.recordings, None
        if folder is None:
            others = place / "packed"
            for one in packed_names("6.1"):
                folder = unpacked(one, others).parent
        sections = report(Lab(folder, place), others)
    text = page(sections)
    if chosen.write:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)
    if not all(row.holds for rows in sections.values() for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
