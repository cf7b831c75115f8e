"""Requests of a cgroup that are those of another recording, where it ran alone."""

from pathlib import Path

import numpy as np
import pytest

import replay
from replay.common.errors import TraceError
from support.recordings import TRACES

BOTH, OTHER = TRACES / "workers-per-cgroup", TRACES / "high-unlimited"


@pytest.fixture
def joined(tmp_path: Path) -> replay.Trace:
    """The recording of two, with the small writer of itself: 100 ms of it."""
    with replay.convert(
        BOTH,
        tmp_path / "alone.arrow",
        filters=replay.Filters(cgroups=["/a"], begin="0.1", end="0.2"),
    ):
        pass
    return replay.convert(
        BOTH, tmp_path / "joined.arrow", alone=tmp_path / "alone.arrow"
    )


def test_its_requests_stand_for_those_it_had(joined: replay.Trace) -> None:
    with joined, replay.open_or_convert(BOTH) as whole:
        was, now = whole.table().to_pandas(), joined.table().to_pandas()
        ids = {one.path: one.id for one in whole.metadata.summary.cgroups}
        # GIVEN what /a asked for in a part of the recording
        part = was[(was.cgroup == ids["/a"]) & was.queue_ns.between(10**8, 2 * 10**8)]
        mine = now[now.cgroup == ids["/a"]]
        # THEN it asks for that alone, from when it began
        assert list(mine.sector) == list(part.sector)
        begin_ns = was[was.cgroup == ids["/a"]].queue_ns.min()
        shift = part.queue_ns.min() - begin_ns
        assert list(mine.queue_ns + shift) == list(part.queue_ns)
        assert list(mine.complete_ns + shift) == list(part.complete_ns)
        # AND the others' requests are as they were
        others = now[now.cgroup != ids["/a"]].reset_index(drop=True)
        as_they_were = was[was.cgroup != ids["/a"]].reset_index(drop=True)
        assert others.equals(as_they_were)
        # AND rows stand in the order of their issue, counts are theirs, and it is said
        assert (np.diff(now.issue_ns) >= 0).all()
        counts = {one.path: one.n_requests for one in joined.metadata.summary.cgroups}
        assert counts["/a"] == len(part)
        assert counts["/b"] == len(others)
        assert "where it ran alone" in joined.metadata.summary.notes[-1]


def test_a_process_with_the_pid_of_another_one_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    # GIVEN another writer of the path /a, whose recording's pid is taken here by /b
    ids = tmp_path / "ids"
    ids.write_text("1 /\n23 /b\n24 /a\n")
    with replay.open_or_convert(BOTH) as whole:
        paths = {one.path: one.id for one in whole.metadata.summary.cgroups}
    ids.write_text(f"1 /\n{paths['/a']} /b\n{paths['/b']} /a\n")
    with replay.convert(BOTH, tmp_path / "turned.arrow", cgroups=ids):
        pass
    with replay.convert(
        BOTH, tmp_path / "joined.arrow", alone=tmp_path / "turned.arrow"
    ) as joined:
        rows = joined.table().to_pandas()
        # THEN each of the processes is one of its own
        assert rows.groupby("pid").cgroup.nunique().max() == 1
        names = {
            one.pid: one.names[-1].name
            for one in joined.metadata.summary.processes
            if one.n_requests
        }
        assert set(names.values()) == {"fio"}


def test_a_recording_of_others_is_refused(tmp_path: Path) -> None:
    with (
        replay.convert(TRACES / "seed-unlimited", tmp_path / "other.arrow"),
        pytest.raises(TraceError, match="none of its cgroups has the path of one of"),
    ):
        replay.convert(BOTH, tmp_path / "out.arrow", alone=tmp_path / "other.arrow")
    assert not (tmp_path / "out.arrow").exists()
