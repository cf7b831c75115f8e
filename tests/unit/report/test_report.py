from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from guard.lines import lines_each
from replay.common.plain import plain
from replay.common.text import (
    count_text,
    errno_text,
    moment_text,
    share_text,
    size_text,
    time_text,
)
from replay.engine.reference.structures.histogram import bucket_of, midpoint_of
from replay.report.facts import facts
from replay.report.text import render_text
from replay.results.result import Result
from replay.results.sink import ResultSink
from support import results as made

SUMMARY = """\
4 requests of 7:0, 7:1 recorded in 2.00 s, driver.policy = root; 1 failed
Incomplete recording: 6 % of the events lost while recording (2)

Who paid for whom
  / paid for /test.slice: 256.0 KiB of I/O (100 %), 200.0 KiB of memory charged

Who waited behind whom
  /test.slice/b behind /test.slice: 38.0 ms in 2 waits for the worker

Who was killed
  t=1.23s dd in /test.slice/b killed: memory.max of /test.slice

What failed
  /test.slice/b: 1 request, 64.0 KiB, EIO, first at t=1ms

cgroups by I/O
  cgroup         requests      read    written  discarded  paid by  mem at end
  /test.slice           2       0 B  256.0 KiB        0 B  /               0 B
  /test.slice/b         2  64.0 KiB  128.0 KiB    4.0 KiB  itself     76.0 KiB

Latency of their requests
  cgroup            mean      p99  spent in       waited behind
  /test.slice    3.00 ms  4.01 ms  device 83 %    itself
  /test.slice/b  21.0 ms  32.1 ms  dispatch 92 %  /test.slice 97 %

Estimates and losses
  trace: 2 events lost
  the page cache of /dev/loop0 is not in the trace
"""


def result_of(raw: dict[str, dict[str, np.ndarray]], **changes: Any) -> Result:
    with ResultSink(made.names(**changes)) as sink:
        return sink.finish(raw, made.info())


def empty_but(**kept: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Make a raw result where nothing happened but what is given."""
    raw = made.raw_result()
    for name, table in raw.items():
        keep = name == "memory"
        raw[name] = {key: v * 0 if keep else v[:0] for key, v in table.items()}
    return {**raw, **kept}


def many(n: int) -> Result:
    """Make a result in which n cgroups each did something to /."""
    ids = np.arange(n, dtype=np.uint32)
    raw = made.raw_result()
    for name, column in (
        ("io", "cgroup"),
        ("charges", "issuer"),
        ("memory", ""),
        ("interference", "waiting"),
        ("latency", "cgroup"),
        ("histograms", "cgroup"),
        ("errors", "cgroup"),
        ("kills", "victim_cgroup"),
    ):
        raw[name] = {key: np.repeat(v[:1], n) for key, v in raw[name].items()}
        if column:
            raw[name][column] = ids
    raw["latency"]["stage"][:] = raw["histograms"]["stage"][:] = made.TOTAL
    raw["latency"]["count"][:] = 1
    raw["interference"]["blocking"][:] = 0
    raw["charges"]["wbytes"] = np.arange(n) * 4096
    names = ["/", *(f"/kubepods.slice/kubepods-pod{i:06}.slice" for i in range(1, n))]
    parents = np.zeros(n, np.int32)
    parents[0] = -1
    return result_of(raw, cgroups=names, parents=parents)


def test_summary_tells_who_paid_who_waited_and_who_was_killed_first() -> None:
    assert made.result().summary() == SUMMARY


def test_summary_of_an_uneventful_run_says_so_in_one_line() -> None:
    # GIVEN a run in which one cgroup wrote and paid for itself
    raw = empty_but(
        charges=made.columns(
            made.CHARGES,
            (0, 1, 1, 0, 4096, 0, 1, 0, 0, 4096, 0, 0),
        ),
        **made.timed({(1, 1, made.TOTAL): [2]}),
    )
    # WHEN summed up
    text = result_of(raw).summary()
    # THEN there are no headings without an answer
    assert (
        "Every cgroup paid for its own I/O; nobody waited for another; nobody was "
        "killed; no request failed."
    ) in text.replace("\n", " ")
    assert "Who " not in text
    assert "discarded" not in text


def test_summary_of_an_empty_run_has_no_tables() -> None:
    text = result_of(empty_but()).summary()
    assert "cgroups by I/O" not in text
    assert "Latency" not in text


def test_summary_shows_the_top_20_and_says_how_many_more() -> None:
    text = many(1000).summary()
    assert "/kubepods.slice/kubepods-pod000999.slice" in text.replace("\n", "")
    section = text[text.index("cgroups by I/O") : text.index("Latency")]
    assert section.count("KiB") + section.count("MiB") >= 20
    assert "  … and 980 more" in section
    # all but / pay / for their I/O: the first five of each answer
    assert text.count("  … and 994 more") == 2
    assert text.count("  … and 995 more") == 2


@pytest.mark.parametrize("width", [80, 100, 1000])
def test_numbers_are_never_cut_however_long_the_names_are(width: int) -> None:
    # GIVEN names longer than a line and large numbers
    raw = made.raw_result()
    raw["charges"]["wbytes"][0] = 1023 * 1024**3
    for name in ("latency", "histograms"):
        raw[name]["count"] *= 987_654_321
    long = "/kubepods.slice/" + "x" * 150
    result = result_of(raw, cgroups=("/", long, f"{long}/b", "id:77"))
    # WHEN shown at any width
    text = render_text(result, width=width)
    # THEN each number stands in one piece, and no line is longer than the width
    for number in ("1023.0 GiB", "1,975,308,642", "64.0 KiB"):
        assert number in text
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_plain_text_has_no_control_codes_and_a_terminal_gets_colour() -> None:
    assert "\x1b" not in made.result().summary()
    console = Console(force_terminal=True, color_system="standard", width=80)
    with console.capture() as capture:
        console.print(made.result())
    assert "\x1b[1m" in capture.get()


def test_names_cannot_reach_the_terminal_as_codes_or_markup() -> None:
    # GIVEN a process and a cgroup with escape codes and rich's markup for names
    hostile = ("/", "/[red]a[/red]", "/b\x1b[2J\n", "id:77")
    raw = made.raw_result()
    # WHEN shown
    text = result_of(raw, cgroups=hostile, tasks=("[bold]dd\x07", "java")).summary()
    # THEN they are text
    assert "/[red]a[/red]" in text
    assert r"[bold]dd\x07 in /b\x1b[2J\n killed" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_percentile_over_operations_is_that_of_all_requests() -> None:
    # GIVEN a cgroup with 199 reads of 10 ms and one write of 32 ms
    raw = made.raw_result()
    raw |= made.timed(
        {
            **made.TIMES,
            (2, 0, made.TOTAL): [10] * 199,
            (2, 0, made.DISPATCH): [9] * 199,
            (2, 1, made.TOTAL): [32],
        }
    )
    (first, second) = facts(result_of(raw)).cgroups.items
    # THEN its p99 is a read's, although the write's own p99 is 32 ms
    assert second.p99_ns == midpoint_of(bucket_of(10 * made.MS))
    assert first.p99_ns == midpoint_of(bucket_of(4 * made.MS))
    (_, second) = facts(made.result()).cgroups.items
    assert second.mean_ns == 21 * made.MS


def test_an_issuer_with_two_payers_shows_both_shares() -> None:
    raw = made.raw_result()
    raw["charges"]["issuer"][:] = 1
    text = render_text(result_of(raw), width=100)
    assert "/ 56 %, /test.slice/b 43 %" in text


def test_flushes_without_bytes_that_the_root_served_are_no_headline() -> None:
    raw = made.raw_result()
    for name in ("wbytes", "rbytes", "dbytes", "charged_bytes"):
        raw["charges"][name][:] = 0
    assert facts(result_of(raw)).paid.items == []


def test_facts_of_100_000_cgroups_name_the_first() -> None:
    found = facts(many(100_000))
    assert found.cgroups.n_more == 99_980
    assert found.paid.items[0].issuer.endswith("pod099999.slice")


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (64 << 20, "64.0 MiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (-4096, "-4.0 KiB"),
        ((1 << 63) - 1, "8.0 EiB"),
        (5000 << 60, "5000.0 EiB"),
    ],
)
def test_sizes_have_one_decimal(n_bytes: int, text: str) -> None:
    assert size_text(n_bytes) == text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 us"),
        (12_345, "12.3 us"),
        (9_996, "10.0 us"),
        (999_600, "1.00 ms"),
        (1_230_000_000, "1.23 s"),
        (-38_000_000, "-38.0 ms"),
        (86_400_000_000_000, "86,400 s"),
    ],
)
def test_times_have_three_digits(time_ns: int, text: str) -> None:
    assert time_text(time_ns) == text


@given(st.integers(-(1 << 63), 1 << 63))
def test_a_size_or_time_is_within_half_a_step_of_what_it_shows(value: int) -> None:
    units: dict[str, float] = {
        "B": 1,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
        "TiB": 2**40,
    }
    units |= {"PiB": 2**50, "EiB": 2**60, "ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    for text in (size_text(value), time_text(value)):
        number, unit = text.replace(",", "").split()
        assert float(number) * units[unit] == pytest.approx(value, rel=0.0501)
        assert len(text) <= 14 or unit == "s"


def test_small_texts() -> None:
    assert count_text(1234) == "1,234"
    assert count_text(1, "wait") == "1 wait"
    assert count_text(2, "wait") == "2 waits"
    assert share_text(999, 1000) == "99 %"
    assert share_text(1, 1000) == "<1 %"
    assert share_text(0, 0) == "0 %"
    assert errno_text(28) == "ENOSPC"
    assert errno_text(4242) == "errno 4242"
    assert moment_text(1_234_000_000) == "t=1.23s"
    assert plain("/ä b") == "/ä b"
    assert plain("a\udc80\u202e") == r"a\udc80\u202e"


def test_rules_of_assign_are_told_with_what_they_caught_and_what_none_did() -> None:
    # GIVEN rules of every kind of condition, and requests that none matched
    def rule(**conditions: Any) -> dict[str, Any]:
        values: dict[str, Any] = {"pid": None, "comm": None, "device": None}
        values |= {"volume": None, "cgroup": "/a", "requests": 1234, "bytes": 4096}
        return values | conditions

    assign = {
        "rules": [
            rule(comm="java*", device="8:16"),
            rule(pid=7, cgroup="/b\x1b", requests=0, bytes=0),
            rule(volume="v1"),
            rule(),
        ],
        "kept": {"requests": 3, "bytes": 1024},
        "root": {"requests": 2, "bytes": 0},
    }
    text = render_text(made.result(assign=assign))
    assert text.partition("What the rules of [[assign]] caught\n")[2].startswith(
        """\
  rule                     cgroup       requests    bytes
  comm java*, device 8:16  /a              1,234  4.0 KiB
  pid 7                    /b\\x1b              0      0 B
  volume v1                /a              1,234  4.0 KiB
  everything else          /a              1,234  4.0 KiB
  no rule                  /                   2      0 B
  no rule                  as recorded         3  1.0 KiB
"""
    )


def test_many_rules_are_told_of_in_part_and_none_not_at_all() -> None:
    one: dict[str, Any] = {"pid": 7, "comm": None, "device": None, "volume": None}
    one |= {"cgroup": "/a", "requests": 1, "bytes": 2}
    none = {"requests": 0, "bytes": 0}
    assign = {"rules": [one] * 25, "kept": none, "root": none}
    text = render_text(made.result(assign=assign))
    assert text.count("pid 7") == 20
    assert "… and 5 more rules" in text
    assert "as recorded" not in text
    assert "[[assign]]" not in render_text(made.result())


def test_a_cgroup_more_costs_the_facts_a_few_lines_of_python() -> None:
    results = {n: many(n) for n in (1000, 10_000)}
    assert lines_each(lambda n: facts(results[n]), 1000, 10_000) < 80


@pytest.mark.parametrize(
    ("end_ns", "changes", "said"),
    [
        (2_000_000_000, {}, "recorded in 2.00 s, driver.policy"),
        (2_001_000_000, {}, "recorded in 2.00 s, driver.policy"),
        (2_480_000_000, {}, "recorded in 2.00 s, 2.48 s in the model, driver.policy"),
        (500_000_000, {}, "recorded in 2.00 s, 500 ms in the model, driver.policy"),
        # the recording goes on with what was left out: shorter is no news
        (500_000_000, {"other_devices": 3}, "recorded in 2.00 s, driver.policy"),
        (500_000_000, {"filtered": {"op": 3}}, "recorded in 2.00 s, driver.policy"),
        (3_000_000_000, {"other_devices": 3}, "2.00 s, 3.00 s in the model, driver"),
    ],
)
def test_headline_tells_how_long_the_model_took_where_that_differs(
    end_ns: int, changes: dict[str, Any], said: str
) -> None:
    result = made.result()
    counts = {"end_ns": end_ns, "other_devices": changes.get("other_devices", 0)}
    result.info["counts"] |= counts
    result.info["quality"]["filtered"] = changes.get("filtered", {})
    assert said in result.summary().splitlines()[0]


def test_a_result_of_nothing_says_what_was_lost_and_where_to_look() -> None:
    result = made.result()
    result.info["trace"]["rows"] = 0
    lines = result.summary().splitlines()
    assert lines[1].startswith("Incomplete recording: 6 % of the events lost")
    assert "nothing to tell; 'replay info' says" in " ".join(lines)
