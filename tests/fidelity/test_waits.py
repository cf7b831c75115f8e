"""Every nanosecond that a stage says was waited is somebody's, in every recording."""

from collections.abc import Callable
from pathlib import Path

import pytest

import replay
from support.recordings import packed_names, real_disk_names
from support.waits import waits_that_are_off

#: As it was, and otherwise: each process after its own requests.
OTHERWISE = {
    "loop": ("driver.policy=root", "arrivals.mode=dependent"),
    "disk": ("service.model=device",),
}


@pytest.mark.parametrize("name", sorted({*packed_names(), *real_disk_names()}))
def test_waits_behind_others_sum_to_the_stages(
    recording: Callable[[str], Path], name: str
) -> None:
    # GIVEN any recording, as it was and otherwise
    kind = "disk" if name.startswith("real-disk/") else "loop"
    with replay.open_or_convert(recording(name)) as trace:
        for keys in ((), OTHERWISE[kind]):
            # THEN what was waited for others is what the stages say, and no more
            assert waits_that_are_off(replay.run(trace, overrides=keys)) == {}
