"""Decode the recording that is named; run under callgrind by the test beside it."""

import sys
from pathlib import Path

from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile


def main() -> None:
    """Print how many events were decoded."""
    paths = sorted(Path(sys.argv[1]).glob("*.blktrace.*"))
    rows = BlktraceBatches(
        [CaptureFile(path.name, path.read_bytes()) for path in paths]
    )
    for _ in rows:
        pass
    print(sum(rows.summary.quality.events.values()))


if __name__ == "__main__":
    main()
