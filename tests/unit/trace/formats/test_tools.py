"""Tables of tools, and columns of a CSV that say when, how long, and whose."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.common.errors import TraceError
from replay.trace.formats import _columns
from replay.trace.formats.operations import kernel_operation
from replay.trace.formats.refused import refused
from support.samples import brief, paths, read

TIMES = ("queue_ns", "issue_ns", "complete_ns")


def write(directory: Path, text: str) -> Path:
    path = directory / "t.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("columns", "times"),
    [
        ("time=a:us", (0, 0, None)),
        ("time=a:us,response=l:us", (0, 0, 30_000)),
        ("time=a:us,wait=w:us,response=l:us", (0, 5_000, 35_000)),
        ("time=a:us,issue=i:us", (0, 5_000, None)),
        ("time=a:us,end=e:us", (0, 0, 35_000)),
        ("time=a:us,issue=i:us,end=e:us", (0, 5_000, 35_000)),
        ("end=e:us,response=l:us", (0, 0, 30_000)),
        ("end=e:us,response=l:us,wait=w:us", (0, 5_000, 35_000)),
        ("issue=i:us,response=l:us,wait=w:us", (0, 5_000, 35_000)),
        ("issue=i:us,end=e:us", (0, 0, 30_000)),
    ],
)
def test_what_is_known_of_a_requests_times_says_the_rest(
    tmp_path: Path, columns: str, times: tuple[int | None, ...]
) -> None:
    path = write(tmp_path, "a,i,e,w,l,o,n,op\n100,105,135,5,30,0,512,W\n")
    rows, _ = read(path, columns=f"{columns},offset=o:B,size=n:B,op=op")
    assert brief(rows, *TIMES) == [times]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (
            "end=e:us",
            "end says when a request was done: name the column of its latency",
        ),
        ("time=e:us,end=a:us", "row 2: it ends before it is issued"),
        ("time=e:us,issue=a:us", "row 2: it is issued before it arrives"),
    ],
)
def test_times_that_cannot_be_are_refused(
    tmp_path: Path, columns: str, text: str
) -> None:
    path = write(tmp_path, "a,e,o,n,op\n100,135,0,512,W\n")
    with pytest.raises(TraceError, match=text):
        read(path, columns=f"{columns},offset=o:B,size=n:B,op=op")


def test_requests_that_waited_long_begin_the_trace(tmp_path: Path) -> None:
    # GIVEN rows by their end, of which the last was queued before all others
    lines = [f"{1000 + n},10,0,{8 * n},512,W" for n in range(200_000)]
    lines.append("201001,10,200900,8,512,W")
    path = write(tmp_path, "\n".join(["e,l,w,s,n,op", *lines, ""]))
    # WHEN they are read
    rows, summary = read(
        path,
        columns="end=e:us,response=l:us,wait=w:us,offset=s:sectors,size=n:B,op=op",
    )
    # THEN times count from there
    assert summary.start_ns == 91_000
    assert min(row["queue_ns"] for row in rows) == rows[-1]["queue_ns"] == 0
    assert rows[0]["issue_ns"] == 1000 * (990 - 91)


def test_dates_and_times_of_day(tmp_path: Path) -> None:
    columns = "time=t:date,offset=o:B,size=n:B,op=op"
    days = ("23:59:59.5", "23:59:59.75", "00:00:00.25", "12:00:00", "23:59:00", "0:01")
    text = "".join(f"{one};0;512;R\n" for one in days)
    rows, _ = read(write(tmp_path, "t;o;n;op\n" + text), columns=columns)
    assert [row["queue_ns"] / 1e9 for row in rows] == [
        *(0, 0.25, 0.75, 43200.5, 86340.5, 86460.5)
    ]
    dates = (
        "2024-02-29T12:00:00Z",
        "2024-02-29 14:00:00.5+02:00",
        "2024/03/01 00:00:00,000001",
        "2024-03-01",
    )
    text = "".join(f"{one};0;512;R\n" for one in dates)
    rows, summary = read(write(tmp_path, "t;o;n;op\n" + text), columns=columns)
    assert summary.start_ns == 1_709_208_000 * 10**9
    assert [row["queue_ns"] for row in rows] == [
        *(0, 500_000_000, 43_200 * 10**9, 43_200 * 10**9 + 1000)
    ]
    with pytest.raises(TraceError, match="has times of day and other times"):
        read(
            write(tmp_path, "t;o;n;op\n12:00;0;1;R\n2024-01-01;0;1;R\n"),
            columns=columns,
        )


def test_rows_that_are_no_io_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "t,o,n,op\n1,0,512,read\n2,,,open\n3,512,512,write\n")
    with pytest.raises(TraceError, match="op is 'open'"):
        read(path, columns="time=t:us,offset=o:B,size=n:B,op=op")
    path = write(tmp_path, "t,o,n,op\n1,0,512,read\n2,0,0,open\n3,512,512,write\n")
    rows, summary = read(
        path,
        columns="time=t:us,offset=o:B,size=n:B,op=op:read=read/write=write/open=skip",
    )
    assert [row["op"] for row in rows] == ["read", "write"]
    assert summary.quality.unknown == 1


@pytest.mark.parametrize(
    ("word", "op", "flags"),
    [
        ("R", 0, 0),
        ("WSM", 1, 3),
        ("RAM", 0, 18),
        ("FWFS", 1, 13),
        ("FF", 3, 0),
        ("FS", 3, 0),
        ("F", 3, 0),
        ("DS", 2, 1),
        ("DE", 2, 0),
        ("WZS", 4, 1),
        ("WFSU", 1, 5),
        ("N", 6, 0),
        ("ZR", 5, 0),
    ],
)
def test_the_kernels_words(word: str, op: int, flags: int) -> None:
    assert kernel_operation(word) == (op, flags)


def test_words_that_are_none() -> None:
    for word in ("", "S", "X", "WW", "RW", "SM"):
        assert kernel_operation(word) is None


def test_cgroups_are_what_a_column_says(tmp_path: Path) -> None:
    names = ("/", "", "/a/b/", "0::/a/b", "5:blkio:/a/b", "/a//b", "web", "0::/")
    text = "".join(f"{n};0;512;R;{name}\n" for n, name in enumerate(names))
    rows, summary = read(
        write(tmp_path, "t;o;n;op;c\n" + text),
        columns="time=t:us,offset=o:B,size=n:B,op=op,cgroup=c",
    )
    assert paths(rows, summary) == [
        *("/", None, "/a/b", "/a/b", "/a/b", "/a/b", "/web", "/")
    ]
    assert [row["cgroup"] for row in rows][:3] == [1, 0, 2]


IOSNOOP = """\
Tracing block I/O. Ctrl-C to end.
STARTs         ENDs           COMM         PID    TYPE DEV      BLOCK     BYTES  LATms
5982800.302061 5982800.302679 supervise    1809   W    202,1    17039600  4096    0.62
5982800.302423 5982800.302842 a b          1810   WSM  202,1    17039608  4096    0.42
Lost 12 events on CPU #1
5982800.303000 5982800.303100 c            1811   RA   202,1    8         4096    0.10

Ending tracing...
"""


def test_iosnoop_says_by_its_columns_what_it_prints(tmp_path: Path) -> None:
    rows, summary = read(write(tmp_path, IOSNOOP))
    assert brief(rows, *TIMES[1:], "device", "op") == [
        (0, 618_000, 202 << 20 | 1, "write"),
        (362_000, 781_000, 202 << 20 | 1, "write"),
        (939_000, 1_039_000, 202 << 20 | 1, "read"),
    ]
    assert {one.pid: one.names[0].name for one in summary.processes}[1810] == "a b"
    assert summary.quality.lost == {"all": 12}
    # one time says the other
    for gone in ("STARTs", "ENDs"):
        text = "".join(
            " ".join(one[:place] + one[place + 1 :]) + "\n"
            for line in IOSNOOP.splitlines()[1:4]
            for one, place in ((line.split(), gone == "ENDs"),)
        )
        again, _ = read(write(tmp_path, text.replace("ENDs", "ENDs")))
        assert len(again) == 2
    text = "COMM PID TYPE DEV BLOCK BYTES LATms\nx 1 W 8,0 8 512 0.1\n"
    with pytest.raises(TraceError, match="iosnoop without times"):
        read(write(tmp_path, text))


def test_iosnoop_that_was_ended_at_a_terminal(tmp_path: Path) -> None:
    text = IOSNOOP.replace("Ending", "^C\nEnding").replace("WS ", "FWS", 1)
    text = text.replace("25430416 ", "0 ").replace("20480 ", "0 ")
    rows, _ = read(write(tmp_path, text))
    assert len(rows) == 3
    # a write of nothing, with a flush before it, is a flush
    flushes = [row for row in rows if row["op"] == "flush"]
    assert brief(flushes, "nbytes", "flags") == [(0, 0)] * text.count("FWS")


def test_biosnoop_with_a_pattern_a_name_of_blanks_and_an_unknown_wait(
    tmp_path: Path,
) -> None:
    path = write(
        tmp_path,
        "TIME(s)     COMM   PID  DISK  T SECTOR BYTES QUE(ms) P LAT(ms)\n"
        "1.000000    a b c  7    dm-0  W 8      4096  -1.000  S 0.50\n"
        "1.000100           8    dm-0  W 16     4096  0.010   R 0.50\n"
        "1.000200    x      9          W 24     4096  0.010   R 0.50\n"
        "1.000300    9      9    ?     W 32     4096  0.010   R 0.50\n",
    )
    rows, summary = read(path)
    assert [row["issue_ns"] - row["queue_ns"] for row in rows] == [0, *[10_000] * 3]
    names = {one.pid: [n.name for n in one.names] for one in summary.processes}
    assert names == {7: ["a b c"], 8: [""], 9: ["x", "9"]}
    # a disk without a name that holds whole sectors is one
    assert [one.volume for one in summary.devices] == ["dm-0", "?"]


#: How bcc's biosnoop prints: nothing stands between BYTES and what follows.
BCC = ("%-11s %-14s %-7s %-9s %-1s %-10s %-7s", "%7s", "%7s ")


def bcc(rows: list[tuple[Any, ...]], *, queued: bool = False) -> str:
    """Print a table of bcc's biosnoop, with ``-Q`` if `queued`."""
    front, last, wait = BCC
    pattern = front + (wait if queued else "") + last + "\n"
    names = ["TIME(s)", "COMM", "PID", "DISK", "T", "SECTOR", "BYTES"]
    names += [*(["QUE(ms)"] if queued else []), "LAT(ms)"]
    return "".join(pattern % tuple(row) for row in (names, *rows))


def test_biosnoop_without_a_blank_behind_bytes(tmp_path: Path) -> None:
    # GIVEN sizes and latencies that fill their columns, where BYTES is 7 wide
    rows = [
        ("1.000000", "fio", 7, "sda", "W", 8, 4096, "0.50"),
        ("2.000000", "a b", 7, "sda", "W", 16, 1048576, "1234.56"),
        ("300.000000", "fio", 7, "", "W", 24, 16777216, "299000.00"),
        ("301.000000", "", 7, "sda", "R", 32, 1310720, "51200.00"),
    ]
    # WHEN they are read
    text = bcc(rows)
    assert "10485761234.56" in text
    found, _ = read(write(tmp_path, text))
    # THEN each digit is where it belongs
    assert sorted(
        (row["sector"], row["nbytes"], row["complete_ns"] - row["issue_ns"])
        for row in found
    ) == [
        (8, 4096, 500_000),
        (16, 1048576, 1_234_560_000),
        (24, 16777216, 299_000_000_000),
        (32, 1310720, 51_200_000_000),
    ]
    # AND with the wait between them
    waited = ("9.000000", "fio", 7, "sda", "W", 8, 1048576, "1234.56", "2000.00")
    (row,), _ = read(write(tmp_path, bcc([waited], queued=True)))
    assert brief([row], *TIMES) == [(0, 1_234_560_000, 3_234_560_000)]


def test_biosnoop_whose_bytes_end_nowhere_is_refused(tmp_path: Path) -> None:
    rows = [
        ("1.000000", "fio", 7, "sda", "W", 8, 4096, "0.50"),
        ("2.000000", "fio", 7, "sda", "W", 16, 1048577, "1234.56"),
    ]
    reason = "row 3: BYTES: '10485771234.56' is no whole number: BYTES and the time"
    with pytest.raises(TraceError, match=reason):
        read(write(tmp_path, bcc(rows)))


def test_a_fio_latency_log(tmp_path: Path) -> None:
    rows, _ = read(
        write(tmp_path, "10, 2500000, 0, 4096, 8192, 0\n12, 1000, 1, 512, 0, 0\n")
    )
    assert brief(rows) == [
        (0, 2_500_000, 16, 4096, "read"),
        (4_499_000, 4_500_000, 0, 512, "write"),
    ]
    with pytest.raises(TraceError, match=r"without offsets: .* log_offset=1"):
        read(write(tmp_path, "10, 2500000, 0, 4096, 0\n12, 1000, 1, 512, 0\n"))


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"PERFILE2" + bytes(99), "perf script -i FILE"),
        (b"\x17\x08\x44tracing" + bytes(99), "trace-cmd report -i FILE"),
        (b"Linux 6.1 (x)\n\navg-cpu:  %user\n\nDevice  r/s  rkB/s\n", "is iostat's"),
        (b"12:00:01 AM  DEV   tps  rkB/s\n", "is sar's"),
        (b"     usecs               : count     distribution\n", "biolatency"),
        (b"     Kbytes              : count     distribution\n", "bitesize"),
        (b"PID    COMM     D MAJ MIN DISK       I/O  Kbytes  AVGms\n", "is biotop's"),
        (b"12:00:01 UID  PID   kB_rd/s   kB_wr/s kB_ccwr/s\n", "is pidstat's"),
        (b"CPU0 (8,0):\n Reads Queued: 0\n\nTotal (8,0):\n", "blkparse's summary"),
        (b"time,obj_id,size\n1,2,3\n", "requests to a cache"),
        (b'{\n  "fio version" : "fio-3.33"}', "fio's report"),
        (b"     0.000 fio/26 block:block_getrq:8,0 W 8 + 8 [fio]\n", "is perf trace's"),
        (b"0,q:q:1:8WTfjZU14ee,17,213,4,get,0\n", r"requests to a cache \(Twitter"),
    ],
)
def test_what_is_no_trace_is_named(tmp_path: Path, head: bytes, text: str) -> None:
    assert re.search(text, str(refused("x", head)))
    path = tmp_path / "x"
    path.write_bytes(head)
    with pytest.raises(TraceError, match=text):
        read(path)


def test_a_second_run_in_a_log_of_fio_is_told(tmp_path: Path) -> None:
    lines = [f"{1_000_000 * n} /a read 0 512\n" for n in range(1, 6)] * 2
    _, summary = read(write(tmp_path, "fio version 3 iolog\n" + "".join(lines)))
    assert summary.notes[-1].startswith("Times begin anew at row 7:")


def test_last_line_of_fio_that_may_be_cut_is_told(tmp_path: Path) -> None:
    text = "fio version 3 iolog\n0 /a read 0 4096\n9 /a syncfs 0 0\n10 /a read 8192 40"
    rows, summary = read(write(tmp_path, text))
    assert brief(rows, "op", "nbytes")[1:] == [("flush", 0), ("read", 40)]
    assert any(one.startswith("Row 4 has no end: fio may") for one in summary.notes)
    _, summary = read(write(tmp_path, text + "96\n"))
    assert not any("has no end" in one for one in summary.notes)


@given(st.text(alphabet="ab 1\t-?", max_size=60))
def test_columns_by_blanks_are_as_many_or_all_words(line: str) -> None:
    # three columns before the one that may be blank, two behind
    made = _columns.by_blanks(line.encode(), 6, 1, 3).decode().rstrip("\n")
    words = line.split()
    assert made.split("\t") != [] or not words
    assert "".join(made.split()) == "".join(words)
    assert made.count("\t") in (5, max(len(words) - 1, 0))
