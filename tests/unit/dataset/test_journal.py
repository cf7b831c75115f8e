"""The journal of a batch: when parts are written, and what is read of them."""

from pathlib import Path

import pytest

from replay.dataset import journal as journal_module
from replay.dataset.journal import Journal, Parts
from replay.dataset.layout import DatasetLayout
from replay.dataset.places import Place
from replay.dataset.rows import FAILED, MADE_BY, State, records


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def state(trace: str) -> State:
    return State(
        trace=trace,
        scenario="default",
        status=FAILED,
        stamp="",
        input_sha256="",
        options_sha256="",
        scenario_sha256="",
        version=MADE_BY,
    )


@pytest.fixture
def layout(tmp_path: Path) -> DatasetLayout:
    made = DatasetLayout(Place.of(tmp_path))
    made.journal.make_directory()
    return made


def add(journal: Journal, trace: str) -> None:
    journal.add(records([(state(trace), "no reason")]))


def n_parts(layout: DatasetLayout) -> int:
    return len(layout.journal.files())


def test_records_wait_longer_the_longer_a_batch_takes(layout: DatasetLayout) -> None:
    clock = Clock()
    journal = Journal(layout, 0, 0, clock=clock)
    # GIVEN a new batch, THEN what is finished is written within half a second
    add(journal, "a")
    assert n_parts(layout) == 0
    clock.now += 0.5
    journal.tick()
    assert n_parts(layout) == 1
    # GIVEN an hour, THEN within a hundredth of it
    clock.now += 3600
    add(journal, "b")
    clock.now += 35
    add(journal, "c")
    assert n_parts(layout) == 1
    clock.now += 2
    journal.tick()
    assert n_parts(layout) == 2
    # GIVEN a night, THEN within a minute
    clock.now += 36000
    add(journal, "d")
    clock.now += 60
    journal.tick()
    assert n_parts(layout) == 3
    # nothing waits: nothing is written
    clock.now += 1000
    journal.tick()
    journal.flush()
    assert n_parts(layout) == 3


def test_much_is_written_at_once(
    layout: DatasetLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PART_BYTES", 1)
    journal = Journal(layout, 0, 0)
    add(journal, "a")
    assert n_parts(layout) == 1


def test_the_newest_record_of_a_pair_counts(layout: DatasetLayout) -> None:
    journal = Journal(layout, 3, 0)
    for trace in ("a", "b", "a"):
        add(journal, trace)
        journal.flush()
    assert journal.holds_parts
    # a part that older tables hold, and one that was not finished
    (layout.journal / "0002-000000.arrow").write(b"old")
    (layout.journal / ".0003-000007.arrow.abcd.part").write(b"half")
    with Parts(layout, 3) as parts:
        assert sorted(parts.found) == [("a", "default"), ("b", "default")]
        assert parts.found["a", "default"][1].part == 2
        assert parts.next_number == 3
        assert parts.batch(1, 0).column("trace").to_pylist() == ["b"]
    with Parts(layout, 4) as parts:
        assert parts.found == {}
        assert parts.next_number == 0
