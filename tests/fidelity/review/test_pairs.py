"""Every policy from every traced one: docs/pairs.md, and what it says of itself."""

from pathlib import Path

import pytest

from fidelity.page.lab import Lab
from fidelity.page.pairs import PAGE, TRACED, Asked, ask, page

ONE_QUEUE = ("root", "naive", "instance", "backcharge")


@pytest.fixture(scope="session")
def asked(lab: Lab) -> dict[str, dict[str, Asked]]:
    return {
        traced: {row.name.strip("`"): row for row in ask(lab, name)}
        for traced, name in TRACED.items()
    }


def test_the_page_is_what_its_command_writes(lab: Lab) -> None:
    assert Path(PAGE).read_text() == page(lab)


def test_every_driver_is_plausible_from_every_traced_one(
    asked: dict[str, dict[str, Asked]],
) -> None:
    # GIVEN the same jobs recorded under two drivers, WHEN each is asked for all
    for traced, other in (("per-cgroup", "root"), ("root", "per-cgroup")):
        found, kernel = asked[traced], asked[other]["recorded"].times_us
        # THEN its own comes back
        for mine, recorded in zip(
            found[traced].times_us, found["recorded"].times_us, strict=False
        ):
            assert mine == pytest.approx(recorded, rel=0.001)
        # AND the other one is as the kernel showed it
        a_us, b_us, *_ = found[other].times_us
        assert a_us == pytest.approx(kernel[0], rel=0.10)
        assert b_us == pytest.approx(kernel[1], rel=0.20)
        # AND one queue is the root's, a worker each is per-cgroup's
        one, each = found["root"].times_us, found["per-cgroup"].times_us
        for name in (*ONE_QUEUE, "per-cgroup` where no worker can be made"):
            assert found[name].times_us == one
        for name in ("enospc", *(f"v{number}" for number in range(1, 15))):
            assert found[name].times_us == each
        assert 2 <= one[0] / each[0] <= 3
        assert found["synchronous"].times_us == each
    # AND of the root's trace the file's lock is a stage of its own
    dispatch, lock, _ = asked["root"]["per-cgroup"].waits_us
    assert dispatch == 0
    assert lock > 50
    assert asked["per-cgroup"]["per-cgroup"].waits_us[1] == 0


def test_no_driver_changes_a_time_of_direct_io(
    asked: dict[str, dict[str, Asked]],
) -> None:
    direct = asked["per-cgroup, direct I/O on a disk"]
    times = {row.times_us for name, row in direct.items() if name != "recorded"}
    assert len(times) == 1
    assert "pass-through" in direct
