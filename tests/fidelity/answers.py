"""Digests of what is answered, kept with `MODEL_VERSION` in ``answers.json``.

``python -m fidelity.answers`` (in ``tests``) writes them anew. That is to be done where
a rule has changed what is answered, and `MODEL_VERSION` is raised, unless it was since
the last release.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import replay
from replay.common.version import MODEL_VERSION

TOP = Path(__file__).parents[2]
KEPT = Path(__file__).with_name("answers.json")
TABLES = (
    *("charges", "io_stat", "memory", "latency", "interference"),
    *("kills", "errors", "workers"),
)
RECORDINGS = tuple(
    path.stem for path in sorted((TOP / "traces").glob("*.toml")) if path.is_file()
)


def digest(result: replay.Result) -> str:
    """Return a digest of a result's tables."""
    rows = {name: getattr(result, name).to_pylist() for name in TABLES}
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()[:16]


def answer(name: str) -> dict[str, str]:
    """Replay a recording of ``traces``; return digests, as it was and by scenario."""
    trace = TOP / "traces" / name
    return {
        "as recorded": digest(replay.run(trace)),
        "by its scenario": digest(replay.run(trace, f"{trace}.toml")),
    }


def kept() -> dict[str, Any]:
    """Return what ``answers.json`` says."""
    found: dict[str, Any] = json.loads(KEPT.read_text("utf-8"))
    return found


def main() -> None:
    """Write ``answers.json``."""
    said = {
        "model_version": MODEL_VERSION,
        "answers": {name: answer(name) for name in RECORDINGS},
    }
    KEPT.write_text(json.dumps(said, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
