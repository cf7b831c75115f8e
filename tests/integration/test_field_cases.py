"""Cases from people who do this job: their inputs, and the right answers.

Each is rebuilt from a public report, with numbers of its own.
"""

import statistics
from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.convert import open_or_convert
from replay.trace.formats.options import FormatOptions
from support.samples import brief, paths, read

CASES = Path(__file__).parents[1] / "field_cases"
US = 1000
LIVE = CASES / "03-btrace-wrapped-times"


@pytest.mark.parametrize(
    ("name", "requests", "span_ns"),
    [
        ("input.txt", 12, 1_116_600),
        ("b-made-by-blkparse-1.2.0.txt", 8, 952_600),
        # what it was printed from
        ("b-the-stream-itself.bin", 8, 952_600),
    ],
)
def test_03_a_live_blkparses_times_before_its_first_event(
    name: str, requests: int, span_ns: int
) -> None:
    rows, summary = read(LIVE / name)
    assert len(rows) == requests
    assert summary.end_ns - summary.start_ns == span_ns
    assert {row["complete_ns"] - row["issue_ns"] for row in rows} == {90 * US}
    assert not summary.quality.unmatched
    assert not summary.quality.unfinished


def test_03_text_and_stream_give_the_same_requests() -> None:
    times = ("queue_ns", "issue_ns", "complete_ns", "sector", "pid")
    text, _ = read(LIVE / "b-made-by-blkparse-1.2.0.txt")
    stream, _ = read(LIVE / "b-the-stream-itself.bin")
    assert brief(text, *times) == brief(stream, *times)


def test_11_perf_script() -> None:
    rows, summary = read(CASES / "11-perf-script" / "input.txt")
    assert [
        (row["device"], row["nbytes"], row["complete_ns"] - row["issue_ns"])
        for row in rows
    ] == [
        (8 << 20 | 16, 2048, 2_200_000),
        (8 << 20 | 48, 262_144, 560_000),
        (7 << 20, 4096, 500_000),
    ]
    # the end of a FUA write's flush sequence; a command to no disk
    assert summary.quality.flush_sequences == 1
    assert summary.quality.no_disk == 1


def test_12_ftrace() -> None:
    rows, _ = read(CASES / "12-ftrace-trace" / "input.txt")
    assert [
        (row["nbytes"], row["complete_ns"] and row["complete_ns"] - row["issue_ns"])
        for row in rows
    ] == [(4096, 400_000), (8192, 6_700_000), (0, None)]
    assert rows[2]["op"] == "flush"


def test_12_the_tracer_blk() -> None:
    rows, _ = read(CASES / "12-ftrace-trace" / "b-blktrace-tracer.txt")
    assert brief(rows) == [(0, 1_008_000, 2048, 131_072, "write")]


def test_25_layers_are_no_loss_and_count_once() -> None:
    rows, summary = read(CASES / "25-dmcrypt-stack" / "input.txt")
    assert summary.quality.lost == summary.quality.left_out == {}
    dm2, dm14, sdb = 253 << 20 | 2, 253 << 20 | 14, 8 << 20 | 16
    assert summary.layers == [(dm2, sdb), (dm14, dm2)]
    top = [row for row in rows if row["device"] == dm14]
    assert (len(top), sum(row["nbytes"] for row in top)) == (60, 1_392_640)


@pytest.mark.parametrize(("name", "missing"), [("input.txt", 1076), ("rs.txt", 980)])
def test_28_lines_that_a_filter_left_out_are_no_loss(name: str, missing: int) -> None:
    rows, summary = read(CASES / "28-grep-filtered-blkparse" / name)
    assert len(rows) == 98
    assert summary.quality.lost == {}
    assert sum(summary.quality.left_out.values()) == missing


def test_29_recorded_errors_are_counted() -> None:
    rows, summary = read(CASES / "29-recorded-io-errors" / "input.txt")
    assert brief(rows, "sector", "error") == [(2048, -5), (4096, 0)]
    assert summary.quality.errors == {"EIO": 1}
    assert paths(rows, summary) == [None, None]


def test_01_runs_of_a_live_blkparse_in_one_text(tmp_path: Path) -> None:
    # GIVEN completions alone, one CPU's before the first event (as the public case's)
    path = tmp_path / "t.txt"
    times = [f"0.0{n:02}000000" for n in range(9)]
    times += [f"1266874889.67{n:02}51616" for n in range(9)]
    path.write_text(
        "".join(
            f"1,0 {n // 9} {n % 9 + 1} {time} 0 C WS {8 * n} + 8 [0]\n"
            for n, time in enumerate(times)
        )
    )
    # THEN the trace is short, and what is missing is said
    _, summary = read(path)
    assert summary.end_ns - summary.start_ns == 47_500_000
    assert summary.quality.unmatched == {"complete": 18}


def test_02_a_header_may_be_a_comment(tmp_path: Path) -> None:
    # GIVEN a table of a storage server with three columns that may be its latency
    path = tmp_path / "t.csv"
    path.write_text(
        "#TS.I,DUMP_OFFSET.I,OP.S,LATENCY_TICKS.I,LATENCY_USECS.D,LBA.I,NBLKS.I\n"
        + "".join(
            f"{1000 * n},{96 * n},{'WR' if n % 3 else 'RD'},{22 * n + 700},{50 + n}.5,"
            f"{8 * (n * 7919 % 997)},{8 + 8 * (n % 4)}\n"
            for n in range(60)
        )
    )
    with pytest.raises(TraceError) as refusal:
        read(path)
    # WHEN what is offered is taken
    columns = str(refusal.value).split('--columns "')[1].split('"')[0]
    rows, _ = read(path, columns=columns)
    # THEN it is right
    assert columns == (
        "time=TS.I:us,offset=LBA.I:sectors,size=NBLKS.I:sectors,"
        "op=OP.S:rd=read/wr=write,response=LATENCY_USECS.D:us"
    )
    assert [row["complete_ns"] - row["queue_ns"] for row in rows][:2] == [
        50_500,
        51_500,
    ]


def test_05_fios_waits_are_since_its_start() -> None:
    rows, _ = read(CASES / "05-fio-v2-wait" / "input.log")
    assert [row["queue_ns"] for row in rows] == [0, 2_000_000_000]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("input.log", "row 7: another log stands in it: fio was given one iolog"),
        ("b-second-header.log", "row 6: a second log begins here: fio was given one"),
    ],
)
def test_07_logs_of_several_jobs_in_one_are_named(name: str, text: str) -> None:
    with pytest.raises(TraceError, match=text):
        read(CASES / "07-fio-v3-torn-threads" / name)


def test_08_fio_logs() -> None:
    place = CASES / "08-fio-v3-sync-trim-and-headless"
    rows, summary = read(place / "a.log")
    assert [row["op"] for row in rows] == ["write", "flush", "discard", "read"]
    assert summary.end_ns - summary.start_ns == 29_000_000
    assert brief(read(place / "b.log")[0]) == [(0, None, 1, 4096, "read")]
    assert [row["nbytes"] for row in read(place / "c.log")[0]] == [4000] * 3


def test_09_biosnoops_time_is_the_completion() -> None:
    # GIVEN a table, and when each request was issued and done, in us
    rows, summary = read(CASES / "09-biosnoop" / "input.txt")
    names = {one.device: one.volume for one in summary.devices}
    text = (CASES / "09-biosnoop" / "issue-times.txt").read_text()
    right = [line.split() for line in text.splitlines()[1:]]
    first = int(right[0][0])
    # THEN requests are issued then, in that order, on their disk
    assert sorted(
        (row["issue_ns"], row["complete_ns"], names[row["device"]], row["sector"])
        for row in rows
    ) == sorted(
        (1000 * (int(a) - first), 1000 * (int(b) - first), disk, int(sector))
        for a, b, disk, _, sector in right
    )


def test_09_biosnoops_wait_names_and_words() -> None:
    place = CASES / "09-biosnoop"
    rows, _ = read(place / "b-Q.txt")
    assert sorted(row["issue_ns"] - row["queue_ns"] for row in rows) == [
        10_000,
        10_000,
        20_110_000,
    ]
    _, summary = read(place / "c-spaces.txt")
    names = {one.pid: one.names[0].name for one in summary.processes}
    assert names == {1951: "supervise", 1952: "Web Content", 1957: "tmux: server"}
    rows, _ = read(place / "d-t-libbpf.txt")
    assert {(row["op"], row["flags"]) for row in rows} == {("write", 3)}
    assert [row["complete_ns"] for row in rows] == [1_429_000, 1_429_000, 2_429_000]
    rows, summary = read(place / "e-blank-disk.txt")
    assert [row["op"] for row in rows] == ["write", "write", "flush"]
    assert [one.volume for one in summary.devices] == ["sda"]
    assert summary.notes == ["1 row of no disk left out: commands to a controller."]


def test_10_what_has_no_places_is_refused_in_words() -> None:
    with pytest.raises(TraceError, match="without sector, bytes, direction"):
        read(CASES / "10-bpftrace-biosnoop" / "input.txt")


@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("b-5columns.spc", {"/0": (3, 20_480), "/1": (4, 9_216), "/2": (2, 8_192)}),
        ("input.spc", {"/0": (4, 28_672), "/1": (5, 25_088), "/2": (2, 8_192)}),
    ],
)
def test_14_spc(name: str, sums: dict[str, tuple[int, int]]) -> None:
    rows, summary = read(CASES / "14-spc-umass" / name)
    assert {one.path: (one.n_requests, one.nbytes) for one in summary.cgroups} == sums
    span = rows[-1]["queue_ns"] - rows[0]["queue_ns"]
    assert span == (1_895_008_000 if name.startswith("b") else 1_898_009_000)


def test_15_thesios() -> None:
    rows, summary = read(CASES / "15-thesios" / "input.csv")
    known = {one.id: one.path for one in summary.cgroups}
    means: dict[str | None, list[int]] = {}
    for row in rows:
        taken = row["complete_ns"] - row["queue_ns"]
        means.setdefault(known[row["cgroup"]], []).append(taken)
    assert len(rows) == 400
    assert {
        name: round(sum(taken) / len(taken) / 1e6, 3) for name, taken in means.items()
    } == {"/bigtable": 10.224, "/spanner": 8.703, "/blobstore": 10.69, "/7201543": 8.77}


def test_22_requests_to_a_cache_are_named() -> None:
    with pytest.raises(TraceError, match=r"oracleGeneral .* no operation"):
        read(CASES / "22-oracleGeneral" / "input.bin")


def test_34_a_columns_ids_are_looked_up(tmp_path: Path) -> None:
    place = CASES / "34-csv-cgroup-ids"
    options = FormatOptions(
        columns="time=ts_ns:ns,offset=sector:sectors,size=bytes:B,op=rw,"
        "response=lat_ns:ns,cgroup=cgid,pid=pid,process=comm"
    )
    right = ["/", "/kubepods.slice/pod1", "/kubepods.slice/pod2"]
    with open_or_convert(
        place / "input.csv", cgroups=place / "ids", format=options
    ) as trace:
        assert paths(trace.table().to_pylist(), trace.metadata.summary) == right
    # in a trace file that was made without them, too
    output = tmp_path / "t.arrow"
    from replay.trace.convert import convert

    convert(place / "input.csv", output, format=options).close()
    with open_or_convert(output, cgroups=place / "ids") as trace:
        assert paths(trace.table().to_pylist(), trace.metadata.summary) == right
    # what holds no ids is not called by them
    log = CASES / "05-fio-v2-wait" / "input.log"
    with open_or_convert(log, cgroups=place / "ids") as trace:
        summary = trace.metadata.summary
        assert paths(trace.table().to_pylist(), summary) == ["/dev_sdx"] * 2
        assert "fio-iolog holds no ids" in summary.notes[-1]


def test_ftrace_and_blktrace_of_one_recording_agree() -> None:
    # GIVEN I/O on null_blk, Linux 6.1, recorded by blktrace and by ftrace at once:
    # direct writes and reads, and buffered writes that are merged
    place = CASES / "tracers-6.1"
    records, of_records = read(place / "blktrace")
    text, of_text = read(place / "ftrace.txt.gz")
    # THEN each request is the same; the text tells of all disks
    disk = 254 << 20
    same = ("sector", "nbytes", "op", "flags", "n_bios", "pid", "error")
    found = brief([row for row in text if row["device"] == disk], *same)
    assert found == brief([row for row in records if row["device"] == disk], *same)
    assert len(found) == 104
    assert sum(row[4] for row in found) == 390
    for letter in "QGMIDC":
        events = of_text.quality.events[letter]
        assert events == of_records.quality.events[letter]


def test_one_recording_by_four_tracers_is_the_same() -> None:
    # GIVEN direct writes of /a and reads of /b on null_blk, Linux 6.1 under emulation,
    # recorded at once by the kernel's interface, bpftrace, ftrace and perf
    place = CASES / "four-tracers-6.1"
    cgroups = {"/a": 100 * 4096, "/b": 16 * 65536}
    found = {}
    for name in ("kernel", "bpf.txt.gz", "ftrace.txt.gz", "perf.txt.gz"):
        with open_or_convert(place / name, cgroups=place / "kernel" / "ids") as trace:
            rows, summary = trace.table().to_pylist(), trace.metadata.summary
        assert (summary.quality.lost, summary.quality.unmatched) == ({}, {})
        # THEN those that say whose a request is say the same
        if name in ("kernel", "bpf.txt.gz"):
            assert {one.path: one.nbytes for one in summary.cgroups} == cgroups
        found[name] = sorted(rows, key=lambda row: (row["sector"], row["queue_ns"]))
    # AND each request is the same, and took as long: an event's probes run one after
    # the other, which is most of a microsecond here
    same = ("sector", "nbytes", "op", "flags", "n_bios", "pid", "error")
    right = found.pop("kernel")
    assert len(right) == 116
    took = [row["complete_ns"] - row["issue_ns"] for row in right]
    for rows in found.values():
        assert brief(rows, *same) == brief(right, *same)
        off = [
            abs(row["complete_ns"] - row["issue_ns"] - ns)
            for row, ns in zip(rows, took, strict=True)
        ]
        assert statistics.median(off) < 2 * US
