"""The kernel's trace as text: what tools and their options make of it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.convert import open_or_convert
from support.kernel_text import ftrace, life, perf, perf_ns, printed
from support.samples import brief, read

TWO = [*life(401, 8, "QDC"), *life(451, 16, "QDC")]
CHAIN = """\
\tffffffff8c5a1b2c blk_mq_start_request+0x5c ([kernel.kallsyms])
\t    7f1234567890 __write+0x10 (/usr/lib/libc.so.6 (deleted))
\t               0 [unknown] ([unknown])

"""
#: Calls without addresses, and with places in source files.
NAMES = """\
 blk_mq_start_request+0x5c ([kernel.kallsyms])
 scsi::queue(int, bool) ([scsi_mod])
 blk_mq_run (inlined)
  blk-mq.c:1234
 [unknown] ([unknown])

"""
STACK = """\
<stack trace>
 => blk_mq_start_request
 => 0xffffffffc0a1
"""


@pytest.mark.parametrize(
    ("change", "other"),
    [
        pytest.param(lambda line: line + CHAIN, 0, id="perf -g"),
        pytest.param(lambda line: line + NAMES, 0, id="perf -g without addresses"),
        pytest.param(
            lambda line: line + line.partition("block:")[0] + STACK,
            6,
            id="ftrace stacktrace",
        ),
        pytest.param(
            lambda line: line[:-1] + "  ffffffff8c5a1b2c blk_start+0x5 ([kernel])\n",
            0,
            id="perf -F ip,sym",
        ),
        pytest.param(
            lambda line: line.replace("] ", "] 2024-05-01 10:05:32.123456 ", 1),
            0,
            id="perf -F tod",
        ),
        pytest.param(
            lambda line: re.sub(r"(block_\w+):", r"\1:uk:", line), 0, id="modifiers"
        ),
        pytest.param(
            lambda line: line.replace("block:", "block:block:"), 0, id="groups"
        ),
        pytest.param(lambda line: "VM:guest " + line, 0, id="perf kvm"),
        pytest.param(lambda line: "t.txt:12:" + line, 0, id="grep -n"),
        pytest.param(lambda line: re.sub(" +", "\t", line), 0, id="tabs"),
        pytest.param(
            lambda line: line.replace("[task", "be,0,4 [task"), 0, id="priority"
        ),
        pytest.param(
            lambda line: line.replace("[task 100]", "[kworker/0:1H-[x]]"),
            0,
            id="brackets",
        ),
        pytest.param(
            lambda line: (
                "WARNING: x\nAttached 9 probes\nAttaching 9 probes...\n" + line
            ),
            0,
            id="bpftrace",
        ),
    ],
)
def test_what_tools_add_to_an_event(
    tmp_path: Path, change: Callable[[str], str], other: int
) -> None:
    # GIVEN two requests' events, with what an option of a tool adds to each
    lines = printed(TWO, perf).splitlines(keepends=True)
    path = tmp_path / "t.txt"
    path.write_text("".join(map(change, lines)))
    # WHEN they are read
    rows, summary = read(path)
    # THEN they are the same requests, and nothing is refused
    assert brief(rows, "queue_ns", "issue_ns", "complete_ns", "sector", "pid") == [
        (0, 3000, 6000, 8, 100),
        (50_000, 53_000, 56_000, 16, 100),
    ]
    assert summary.quality.refused_bytes == summary.quality.truncated_bytes == 0
    assert len(summary.notes) == (other > 0)
    (process,) = (one for one in summary.processes if one.pid == 100)
    assert process.names[0].name in ("task 100", "kworker/0:1H-[x]", "task\t100")


def test_cpus_above_a_thousand(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(printed(TWO, perf).replace("[000]", "[1023]"))
    rows, _ = read(path)
    assert brief(rows, "cpu", "pid") == [(1023, 100)] * 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "dd-1 [001] 1.100000: block_getrq: dev=0x700000 sector=0x8 nr_sector=8",
            "print it without",
        ),
        (
            "dd-1 [001] 1.100000: block_rq_issue:     dev=7340032 sector=0x8",
            "print it without",
        ),
        (" 1)               |  /* block_getrq: 7,0 W 8 + 8 [x] */", "without times"),
        (
            "dd 1 1 00000001 00000a12 [0000087c] 17.735ms (+0.012ms): "
            "block_getrq: 7,0 W 8 + 8 [x]",
            "without times",
        ),
        (
            "dd 1 [000] 2024-05-01 10:05:32.123456 block:block_getrq: 7,0 W 8 + 8 [x]",
            "without times",
        ),
        (
            "dd 1 [000] 1.000000: block:block_io_start: 7,0 W 4096 () 8 + 8 [x]",
            "block_io_start and _done do not",
        ),
    ],
)
@pytest.mark.parametrize("name", ["kernel", None])
def test_forms_that_cannot_be_read_are_named(
    tmp_path: Path, line: str, reason: str, name: str | None
) -> None:
    path = tmp_path / "t.txt"
    path.write_text(f"{line}\n" * 3)
    with pytest.raises(TraceError, match=reason):
        read(path, name)


def differences(lines: list[str], digits: int) -> list[str]:
    """Print lines of `perf_ns` as `perf script --deltatime` does."""
    before, printed_ = None, []
    for line in lines:
        head, second, ns, tail = re.split(r"(?<= )(\d+)\.(\d{9}): ", line)
        now = 10**9 * int(second) + int(ns)
        past = 0 if before is None else now - before
        before = now
        time = f"{past // 10**9}.{past % 10**9:09}"[: digits - 9 or None]
        printed_.append(f"{head}{time}: {tail}\n")
    return printed_


def test_differences_of_perf_are_added_up(tmp_path: Path) -> None:
    # GIVEN a recording with other events, its times since the line before
    events = [one for n in range(9) for one in life(7 * n + 100_000, 8 * n)]
    lines = [
        line.replace("000: ", f"{7 * number:03}: ")
        for number, line in enumerate(printed(events, perf_ns).splitlines())
    ]
    lines.insert(5, lines[4].partition("block:")[0] + "sched:sched_switch: x ==> y")
    path = tmp_path / "t.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    expected, _ = read(path)
    path.write_text("".join(differences(lines, 9)))
    # WHEN it is read
    rows, summary = read(path)
    # THEN its times are those of the recording, and it says what they were
    assert rows == expected
    assert summary.notes[0] == (
        "46 times since the line before (`perf script --deltatime`), added up: right "
        "where no line of it is missing."
    )
    # AND what cannot be known is told
    path.write_text("".join(differences(lines, 6)))
    rows, summary = read(path)
    assert 9000 - 3000 <= rows[0]["issue_ns"] <= 9000
    assert "Each is cut to 1 us" in summary.notes[0]


def test_differences_of_which_lines_are_missing_are_refused(tmp_path: Path) -> None:
    events = [one for n in range(9) for one in life(7 * n + 100_000, 8 * n)]
    path = tmp_path / "t.txt"
    path.write_text("".join(differences(printed(events, perf_ns).splitlines(), 6)[1:]))
    with pytest.raises(TraceError, match="print it without"):
        read(path)


def test_differences_of_several_files_are_refused(tmp_path: Path) -> None:
    lines = printed(TWO, perf_ns).splitlines()
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text("".join(differences(lines, 9)))
    with (
        pytest.raises(TraceError, match=r"a\.txt: its times are each the time since"),
        open_or_convert(paths),
    ):
        pass


def test_times_since_the_first_line_are_times(tmp_path: Path) -> None:
    # GIVEN `perf script --reltime`, whose events of CPUs a pipe mixed a little
    lines = printed(life(0, 8) + life(100, 16), perf).splitlines(keepends=True)
    lines[5:7] = lines[6], lines[5]
    path = tmp_path / "t.txt"
    path.write_text("".join(lines))
    rows, summary = read(path)
    assert brief(rows, "queue_ns", "issue_ns") == [(0, 9000), (100_000, 109_000)]
    assert (summary.notes, summary.quality.out_of_order) == ([], 1)


@pytest.mark.parametrize("name", ["kernel", None])
def test_events_without_times_are_told(tmp_path: Path, name: str | None) -> None:
    lines = [
        re.sub(r"\d+\.\d+: ", "", line)
        for line in (printed(TWO, perf), printed(TWO, ftrace))
    ]
    path = tmp_path / "t.txt"
    for text in lines:
        path.write_text(text)
        with pytest.raises(TraceError, match="is the kernel's trace without times"):
            read(path, name)
