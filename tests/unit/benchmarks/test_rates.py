"""The benchmark command: cases are found, run, and laid out. No time is judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import rates
from benchmarks.cases import CASES, cold
from benchmarks.cases.registry import Bench
from benchmarks.goals import GOALS, goals
from benchmarks.measure import Result, Spent, peak_of, python, run
from benchmarks.table import HEADINGS, table


def result(case: str, seconds: float, *, peer: str = "", unit: str = "event") -> Result:
    spent = tuple(Spent(seconds * factor, seconds) for factor in (2, 1, 4))
    return Result(
        case=case, what="something", unit=unit, count=1000, spent=spent, peer=peer
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_every_case_has_a_name_of_its_own_and_every_peer_exists() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    peers = {
        case.run.keywords["peer"]  # type: ignore[attr-defined]
        for case in CASES
        if "peer" in getattr(case.run, "keywords", {})
    }
    assert peers - {""} <= set(names)


def test_table_shows_median_least_and_how_many_times_as_fast() -> None:
    # GIVEN a case that takes a quarter of its peer's time
    lines = table([result("a", 4e-6), result("b", 1e-6, peer="a")]).splitlines()
    # THEN its line says so
    row = dict(zip(HEADINGS, cells(lines[-1]), strict=True))
    assert (row["median"], row["min"], row["CPU"]) == ("2.0 ns", "1.0 ns", "1.0 ns")
    assert (row["million/s"], row["against"]) == ("500.00", "a")
    assert row["times as fast"] == "4.00"
    assert len({len(line) for line in lines}) == 1


def test_peer_that_did_not_run_is_not_named() -> None:
    lines = table([result("b", 1e-6, peer="absent")]).splitlines()
    row = dict(zip(HEADINGS, cells(lines[-1]), strict=True))
    assert (row["against"], row["times as fast"]) == ("", "")


@pytest.mark.parametrize(
    "case",
    [
        "decode.10-cgroups",
        "convert.tagged",
        "feed",
        "engine.direct.per-cgroup",
        "engine.dependent.direct",
        "engine.all-stages",
        "engine.lock.overloaded",
        "peer.duckdb",
    ],
)
def test_case_runs_on_a_small_trace(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--events", "3000", "--requests", "2000", "--repeats", "1", "--quick"]
    assert rates.main([*small, "--case", case, "--directory", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Rates\n")
    assert f"| {case}" in printed
    # what the cases wrote is gone, the generated traces are kept
    assert not list(tmp_path.glob("run-*"))
    assert list(tmp_path.glob("*/done"))


def test_interrupted_generation_is_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--events", "3000", "--repeats", "1", "--case", "read.plain"]
    arguments += ["--directory", str(tmp_path)]
    assert rates.main(arguments) == 0
    (done,) = tmp_path.glob("*/done")
    events = done.read_text()
    done.unlink()
    assert rates.main(arguments) == 0
    assert done.read_text() == events
    assert f"{int(events):,} events" in capsys.readouterr().out


def test_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert rates.main(["--case", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_list_names_the_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert rates.main(["--list", "--huge"]) == 0
    assert capsys.readouterr().out.split() == [case.name for case in CASES]


def test_peak_counts_anonymous_memory() -> None:
    _, peak = peak_of(python("-c", "import time; b = b'x' * 90_000_000; time.sleep(1)"))
    assert 90_000_000 <= peak < 150_000_000


def test_command_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        run(python("-c", "raise SystemExit('no such thing')"))


def test_goals_say_what_was_measured_and_whether_it_is_reached() -> None:
    # GIVEN an engine at 25 M/s, one a fifth as fast with 100,000 cgroups, and memory
    found = [
        result("engine.direct.per-cgroup", 20e-6, unit="request"),
        result("engine.direct.per-cgroup.100000-cgroups", 100e-6, unit="request"),
        replace(result("memory.run.1000000", 1), bytes_peak=120_000_000),
        result("something.else", 1),
    ]
    lines = [cells(line) for line in goals(found).splitlines()[2:]]
    # THEN each goal has its number, and the rest are not there
    assert [(line[1], line[2], line[3]) for line in lines] == [
        ("20 M/s", "25.0 M/s", "reached"),
        ("0.5 x", "0.20 x", "**not reached**"),
        ("under 300 MB", "120 MB", "reached"),
    ]
    assert goals([result("something.else", 1)]) == ""


def test_goal_names_the_size_it_is_judged_at_and_shows_smaller_ones() -> None:
    # GIVEN tables 30 times as fast at 40 million events, and 10 times at 4 million
    goal = GOALS[0]
    _, case, peer = goal.beside[0]
    found = [
        *(result(goal.case, 1e-6), result(goal.peer, 30e-6)),
        *(result(case, 1e-6), result(peer, 10e-6)),
    ]
    # WHEN the goals are laid out
    line = cells(goals(found).splitlines()[2])
    # THEN the large one is judged, and the small one stands beside it
    assert "40 million events" in line[0]
    assert line[1:] == [
        "25 x",
        "30.00 x (CPU: 30.0 x; 4 M: 10.0 x, CPU 10.0 x)",
        "reached",
    ]


def test_cold_conversion_and_copy_are_measured_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN two pairs at least
    monkeypatch.setattr(cold, "PAIRS", 2)
    bench = Bench(root=tmp_path, scratch=tmp_path, events=3000, requests=1, repeats=1)
    # WHEN both cases run
    copied, converted = (case.run(case.name, bench) for case in cold.COLD)
    # THEN each has its repeats, and what was written is gone
    assert len(copied.spent) == len(converted.spent) == 2
    assert copied.count == converted.count > 2500
    assert converted.peer == copied.case
    assert [path.name[:7] for path in tmp_path.iterdir()] == ["records"]


def test_every_goal_is_of_a_case_that_exists() -> None:
    optional = {"peer.libcachesim", "peer.simpy"}
    names = {case.name for case in CASES} | optional
    for goal in GOALS:
        assert goal.case in names
        assert not goal.peer or goal.peer in names
