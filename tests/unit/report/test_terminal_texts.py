"""Texts that a newcomer reads: said once, of what changed, in numbers of people."""

from pathlib import Path

import replay
from replay.report.sweep import LEFT_OUT, point_notes
from replay.report.workers import worker_lines

TRACES = Path(__file__).parents[3] / "traces"
LIMIT = "/test.slice/memory.max"


def test_a_comparison_lists_what_was_said_and_counts_defaults() -> None:
    # GIVEN two runs, of which one says one thing of a cgroup
    trace = TRACES / "seed-unlimited"
    other = replay.run(trace, overrides=[f"{LIMIT}=1G"])
    text = replay.compare(replay.run(trace), other).text()
    # THEN that one is told, and what the cgroup has by default is counted
    told = [line.strip() for line in text.splitlines()]
    assert [line for line in told if line.startswith("cgroups.")] == [
        "cgroups./test.slice.memory.max: not set -> 1G"
    ]
    assert any(
        line.endswith("of cgroups that one has only, by default the same")
        for line in told
    )


def test_notes_of_a_sweep_say_of_which_points_they_are() -> None:
    found = replay.sweep(
        TRACES / "workers-root",
        vary=["driver.policy=root,naive,per-cgroup"],
        jobs=1,
    )
    notes = point_notes(found)
    assert any(
        note.endswith("(matters for 2 of 3 points: driver.policy = root, naive)")
        for note in notes
    )


def test_the_smallest_limit_says_what_it_leaves_out_and_reads_well() -> None:
    found = replay.sweep(
        TRACES / "seed-unlimited",
        TRACES / "seed-unlimited.toml",
        vary=[f"{LIMIT}=64M,512M"],
        jobs=1,
    )
    text = " ".join(found.text().split())
    assert f"smallest {LIMIT} with kills=0: 263764K (257.6 MiB)" in text
    assert LEFT_OUT in text


def test_a_curve_of_writes_has_no_empty_table() -> None:
    found = replay.curve(
        TRACES / "workers-root",
        TRACES / "workers-root.toml",
        overrides=["backing.filesystem=ext4"],
    )
    text = found.text()
    assert "memory.max" not in text.partition("Estimates")[0].replace(
        "no memory.max loses a hit", ""
    )
    assert "reads no page twice, so no memory.max loses a hit" in text


def test_rates_of_a_part_of_a_recording_are_of_that_part() -> None:
    # GIVEN 20 ms of a recording, 0.5 s after its start
    part = replay.run(
        TRACES / "workers-per-cgroup", filters=replay.Filters(begin="0.5", end="0.52")
    )
    # THEN commands a second are of the 33 ms that these requests take
    text = "\n".join(worker_lines(part))
    assert "8,154 a second over 33.5 ms" in text
