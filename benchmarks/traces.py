"""The traces that cases run on: generated once, kept for the next run."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from benchmarks.generate import ROWS_NAME, write_records
from benchmarks.rows import write_rows
from benchmarks.shape import Shape
from replay.trace.file.schema import SCHEMA_VERSION

#: Raised when the same shape gives other bytes.
GENERATION = 1
_DONE = "done"


def records_of(root: Path, shape: Shape) -> tuple[Path, int]:
    """Return the directory of a shape's per-CPU files.

    Parameters
    ----------
    root : Path
        Where generated traces are kept.
    shape : Shape

    Returns
    -------
    tuple of (Path, int)
        And the number of its events, notes not counted.
    """
    directory = _directory(root, "records", shape)
    done = directory / _DONE
    if not done.exists():
        made = write_records(shape, directory)
        done.write_text(str(sum(made.events.values())))
    return directory, int(done.read_text())


def rows_of(root: Path, shape: Shape) -> Path:
    """Return a shape's trace file.

    Parameters
    ----------
    root : Path
        Where generated traces are kept.
    shape : Shape

    Returns
    -------
    Path
    """
    directory = _directory(root, "rows", shape)
    done = directory / _DONE
    if not done.exists():
        write_rows(shape, directory / ROWS_NAME)
        done.touch()
    return directory / ROWS_NAME


def _directory(root: Path, kind: str, shape: Shape) -> Path:
    """Return a shape's directory, made; what an interrupted run left is removed."""
    text = json.dumps([GENERATION, SCHEMA_VERSION, asdict(shape)])
    name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    directory = root / name
    if directory.exists() and not (directory / _DONE).exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def trace_files(directory: Path) -> list[Path]:
    """Return the per-CPU files of a directory."""
    return sorted(directory.glob("*.blktrace.*"))


def total_bytes(paths: list[Path]) -> int:
    """Return the bytes of files."""
    return sum(path.stat().st_size for path in paths)
