"""Batches for tests: in this process, and what of a dataset must be equal."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import dataset as ds

import replay
from replay.dataset import batch as batch_module
from replay.dataset.rows import RUNS, SCHEMAS
from replay.parallel.jobs import Outcome

TRACES = Path(__file__).parents[2] / "traces"


class Inline:
    """Runs jobs here, one by one, when their outcome is asked for."""

    width = 1

    def __init__(self) -> None:
        self._jobs: deque[tuple[Any, Callable[[Any], Any], Any]] = deque()

    @property
    def pending(self) -> int:
        return len(self._jobs)

    def submit(self, tag: Any, function: Callable[[Any], Any], argument: Any) -> None:
        self._jobs.append((tag, function, argument))

    def next(self) -> Outcome:
        tag, function, argument = self._jobs.popleft()
        try:
            return Outcome(tag=tag, value=function(argument))
        except Exception as error:
            return Outcome(tag=tag, error=error)


@contextmanager
def inline_batches() -> Iterator[None]:
    """Let batches of this process do without workers, which take time to start."""

    @contextmanager
    def runner(jobs: int | None, cluster: str | None) -> Iterator[Inline]:
        yield Inline()

    usual = batch_module._runner
    batch_module._runner = runner
    try:
        yield
    finally:
        batch_module._runner = usual


def tables(path: Path | str) -> dict[str, pa.Table]:
    """All that is equal in datasets of the same pairs, in the order of the rows."""
    found = replay.open_dataset(path)
    whole = {name: found.tables[name].to_table() for name in SCHEMAS}
    runs = whole[RUNS].drop_columns(["replay_s", "run"])
    told = [_timeless(text) for text in whole[RUNS].column("run").to_pylist()]
    whole[RUNS] = runs.append_column("run", pa.array(told, pa.string()))
    return whole


def _timeless(text: str | None) -> str | None:
    if text is None:
        return None
    info = json.loads(text)
    return json.dumps({k: v for k, v in info.items() if k not in ("timings", "rate")})


def seen_by_others(path: Path) -> dict[str, pa.Table]:
    """What a program sees that is given a table's directory."""
    return {name: ds.dataset(path / name).to_table() for name in SCHEMAS}


def assert_equal(one: Path | str, other: Path | str) -> None:
    """Check that two datasets hold the same rows in the same order."""
    a, b = tables(one), tables(other)
    for name in SCHEMAS:
        assert a[name].equals(b[name]), name


def assert_clean(path: Path) -> None:
    """Check that nothing lies about that does not count."""
    internal = path / "_replay"
    assert {found.name for found in path.iterdir()} == {"_replay", *SCHEMAS}
    assert {found.name.partition("-")[0] for found in internal.iterdir()} == {
        "dataset.json",
        "journal",
        "lock",
        "pairs",
        "traces",
    }
    assert list((internal / "journal").iterdir()) == []
    assert all(found.suffix == ".arrow" for found in (internal / "traces").iterdir())
    counted = {name: table.num_rows for name, table in seen_by_others(path).items()}
    opened = replay.open_dataset(path)
    assert counted == {name: opened.tables[name].count_rows() for name in SCHEMAS}
