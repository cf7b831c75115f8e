"""Worker processes: order, bounds, errors, deaths."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import replay
from replay.common.errors import ReplayError, TraceError
from replay.parallel.jobs import WorkerDied, in_order
from replay.parallel.pool import Pool
from support import jobs


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(2) as made:
        yield made


def test_outcomes_come_in_the_order_of_the_arguments(pool: Pool) -> None:
    outcomes = list(in_order(pool, jobs.slow_square, range(20)))
    assert [outcome.value for outcome in outcomes] == [n * n for n in range(20)]
    assert [outcome.tag for outcome in outcomes] == list(range(20))
    assert pool.pending == 0


def test_no_arguments_give_no_outcomes(pool: Pool) -> None:
    assert list(in_order(pool, jobs.square, [])) == []


def test_arguments_are_drawn_while_the_outcomes_are_taken(pool: Pool) -> None:
    # GIVEN an endless row of arguments
    drawn = 0

    def endless() -> Iterator[int]:
        nonlocal drawn
        while True:
            drawn += 1
            yield drawn

    # WHEN some outcomes are taken
    outcomes = in_order(pool, jobs.square, endless(), ahead=5)
    taken = [next(outcomes).value for _ in range(10)]

    # THEN no more than those and the ones ahead were drawn
    assert taken == [n * n for n in range(1, 11)]
    assert drawn <= 10 + 5
    while pool.pending:
        pool.next()


def test_an_error_is_an_outcome_and_stops_nobody_else(pool: Pool) -> None:
    outcomes = list(in_order(pool, jobs.fail_on_odd, range(4)))
    assert [outcome.value for outcome in outcomes] == [0, None, 2, None]
    assert isinstance(outcomes[1].error, TraceError)
    assert str(outcomes[3].error) == "trace 3: is bad"


def test_workers_are_used_again(pool: Pool) -> None:
    processes = {outcome.value for outcome in in_order(pool, jobs.who, range(20))}
    assert len(processes) <= 2
    assert os.getpid() not in processes


def test_large_arguments_and_values_pass(pool: Pool) -> None:
    arguments = [bytes([n]) * 3_000_000 for n in range(6)]
    outcomes = list(in_order(pool, jobs.length, arguments))
    assert [outcome.value for outcome in outcomes] == arguments
    small = list(in_order(pool, jobs.much, [3_000_000] * 6))
    assert [len(outcome.value) for outcome in small] == [3_000_000] * 6


@pytest.mark.parametrize("function", [jobs.not_sendable, jobs.strange])
def test_what_cannot_be_sent_is_an_error_of_that_job(
    pool: Pool, function: object
) -> None:
    assert callable(function)
    (outcome,) = in_order(pool, function, [1])
    assert isinstance(outcome.error, ReplayError)


def test_a_job_that_kills_its_worker_is_an_error_and_the_others_are_done() -> None:
    with Pool(2) as pool:
        outcomes = list(in_order(pool, jobs.die, range(8)))
        assert [outcome.value for outcome in outcomes if not outcome.error] == [
            n for n in range(8) if n != 3
        ]
        assert isinstance(outcomes[3].error, WorkerDied)
        assert "2 times (SIGKILL: is there enough memory?)" in str(outcomes[3].error)


def test_a_job_whose_worker_dies_by_chance_is_done_again(tmp_path: Path) -> None:
    with Pool(1) as pool:
        markers = [str(tmp_path / name) for name in "abc"]
        outcomes = list(in_order(pool, jobs.die_once, markers))
        assert [outcome.value for outcome in outcomes] == ["done"] * 3


def wait_for(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_closing_ends_workers_in_the_middle_of_a_job(tmp_path: Path) -> None:
    marker = tmp_path / "begun"
    with Pool(1) as pool:
        pool.submit(None, jobs.forever, str(marker))
        wait_for(lambda: marker.exists() and marker.read_text())
    assert not alive(int(marker.read_text()))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    # GIVEN a script, without a guard for __main__, whose worker is in a job
    marker = tmp_path / "begun"
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "from support import jobs\n"
        "from replay.parallel.pool import Pool\n"
        "pool = Pool(1)\n"
        "pool.submit(None, jobs.forever, sys.argv[1])\n"
        "pool.next()\n"
    )
    paths = [str(Path(replay.__file__).parents[1]), str(Path(__file__).parents[2])]
    parent = subprocess.Popen([sys.executable, str(script), str(marker), *paths])
    wait_for(lambda: marker.exists() and marker.read_text())

    # WHEN the script is killed
    parent.kill()
    parent.wait()

    # THEN its worker does not outlive it for long
    worker = int(marker.read_text())
    wait_for(lambda: not alive(worker))


def test_next_without_a_job_is_refused() -> None:
    with Pool(1) as pool, pytest.raises(ValueError, match="no job"):
        pool.next()
    with pytest.raises(ValueError, match="positive"):
        Pool(0)
