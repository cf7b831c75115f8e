"""CSV whose columns the user names."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import replay
from replay.common.errors import TraceError
from replay.scenario.bind import bind
from replay.scenario.keys.load import Scenario
from replay.trace.formats.options import FormatOptions
from replay.trace.formats.text_table import _Feed
from replay.trace.inputs.unpack import Unpacked
from support.samples import SAMPLES, brief, paths, read

COLUMNS = "time=ts:us,offset=off:B,size=len:KiB,op=rw,cgroup=tenant"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sample.csv"
    path.write_text(text)
    return path


def test_columns_are_found_by_the_headers_names_in_any_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "tenant,rw,other,ts,len,off\n"
        'a,R,"x, y",1000.25,4,512\n'
        "b/c,write,,1001,1,1024\n",
    )
    rows, summary = read(path, columns=COLUMNS)
    assert summary.format == "csv"
    assert brief(rows) == [(0, None, 1, 4096, "read"), (750, None, 2, 1024, "write")]
    assert paths(rows, summary) == ["/a", "/b_c"]
    assert summary.wall_clock_ns is None


def test_paths_of_cgroups_stay_paths(tmp_path: Path) -> None:
    # GIVEN cgroups as the kernel names them, and what only looks like that
    names = ("/a/b", "/a_b", "/", "/a/../c", "a/b", "/a/b/")
    lines = [f"{1000 + i},{i * 512},4,W,{name}" for i, name in enumerate(names)]
    path = write(tmp_path, "\n".join(["ts,off,len,rw,tenant", *lines, ""]))
    # THEN a path is one, however it is written, and a name is made one of its own
    found = paths(*read(path, columns=COLUMNS))
    assert found == ["/a/b", "/a_b", "/", "/a_.._c", "/a_b_", "/a/b"]
    # AND it can be limited by that path, or one above
    with replay.open_or_convert(path, format=FormatOptions(columns=COLUMNS)) as trace:
        notes = bind(
            Scenario.from_dict({}, overrides=["/a/memory.high=1G"]), trace
        ).notes
    assert not any("no request of the trace" in note for note in notes)


def test_columns_are_found_by_number_where_there_is_no_header(tmp_path: Path) -> None:
    path = write(tmp_path, "# made by hand\n0.5;1;8;10;7\n0.75;0;16;20;7\n")
    rows, summary = read(
        path,
        "csv",
        columns="time=1:s,op=2:0=read/1=discard,size=3:sectors,offset=4:4KiB,pid=5",
    )
    assert brief(rows) == [
        (0, None, 80, 4096, "discard"),
        (250_000_000, None, 160, 8192, "read"),
    ]
    assert [row["cgroup"] for row in rows] == [0, 0]
    assert [(one.pid, one.n_requests) for one in summary.processes] == [(7, 2)]


def test_response_device_and_process_are_taken(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "t r d n p o s x\n10 5 8:16 cat 1 0 512 w\n20 100 fast cat 1 0 512 f\n",
    )
    rows, summary = read(
        path,
        columns="time=t:100ns,response=r:ms,device=d,process=n,pid=p,offset=o:B,"
        "size=s:B,op=x",
    )
    assert brief(rows, "queue_ns", "complete_ns", "device", "op") == [
        (0, 5_000_000, 8 << 20 | 16, "write"),
        (1000, 100_001_000, 1, "flush"),
    ]
    assert [one.names[0].name for one in summary.processes] == ["cat"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("time=ts:us", "offset and size and op missing"),
        ("time=ts,offset=off:B,size=len:B,op=rw", "time needs a unit, one of s, ms"),
        ("time=ts:h,offset=off:B,size=len:B,op=rw", "time needs a unit"),
        ("time=ts:us,offset=off:us,size=len:B,op=rw", "offset needs a unit, one of B"),
        ("time=ts:us,when=x", "'when=x' is not FIELD=COLUMN"),
        ("time=ts:us,time=x:us", "time is given twice"),
        (
            "time=ts:us,offset=off:B,size=len:B,op=rw:0=reed",
            "'reed' is not one of read",
        ),
        (
            "time=nn:us,offset=off:B,size=len:B,op=rw",
            "no column 'nn' (time=nn:us); the header has ts, off, len, rw: for example "
            '--columns "time=ts:us,offset=off:B,size=len:B,op=rw"',
        ),
        ("time=1:us,offset=2:B,size=3:B,op=9", "has 4 columns, and no column 9"),
        ("time=ts:us,offset=ts:B,size=len:B,op=rw", "ts cannot be two things"),
    ],
)
def test_columns_that_make_no_sense_are_refused(
    tmp_path: Path, columns: str, reason: str
) -> None:
    path = write(tmp_path, "ts,off,len,rw\n1,2,3,r\n")
    with pytest.raises(TraceError) as refusal:
        read(path, columns=columns)
    assert reason in str(refusal.value)


def test_csv_without_columns_is_refused_with_an_example(tmp_path: Path) -> None:
    path = write(tmp_path, "1,2\n")
    with pytest.raises(TraceError, match=r"csv needs to be told .* --columns"):
        read(path, "csv")


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        (
            "ts,offset,bytes,kind,tenant",
            "1,512,512,r,a",
            "time=ts:us,offset=offset:B,size=bytes:B,op=kind,cgroup=tenant",
        ),
        (
            "startTime_ms;LBA;sectors;Operation;latency_ns",
            "1;1;1;Write;1",
            "time=startTime_ms:ms,offset=LBA:sectors,size=sectors:sectors,"
            "op=Operation,response=latency_ns:ns",
        ),
        ("a|b|c|rw", "1|1|1|R", "time=COLUMN:us,offset=COLUMN:B,size=COLUMN:B,op=rw"),
    ],
)
def test_a_csv_that_is_not_known_is_refused_with_columns_to_paste(
    tmp_path: Path, header: str, row: str, columns: str
) -> None:
    # GIVEN a table with a header, of no known format
    path = write(tmp_path, f"{header}\n{row}\n")
    # WHEN it is read as it is, or by --format csv
    for name in (None, "csv"):
        with pytest.raises(TraceError) as refusal:
            read(path, name)
        # THEN its own columns stand in what to say
        assert f'--columns "{columns}"' in str(refusal.value)


def test_columns_that_a_refusal_offers_are_taken(tmp_path: Path) -> None:
    # GIVEN a column that is not there
    path = write(tmp_path, "ts,off,len,rw,size\n1,2,3,r,512\n")
    with pytest.raises(TraceError) as refusal:
        read(path, columns="time=ts:ms,offset=off:KiB,size=bytes:B,op=rw")
    # WHEN what the refusal offers is given
    offered = re.search(r'--columns "(.*)"', str(refusal.value))
    assert offered is not None
    # THEN it is read, and what was right has stayed
    assert offered[1] == "time=ts:ms,offset=off:KiB,size=size:B,op=rw"
    read(path, columns=offered[1])


@pytest.mark.parametrize("value", ["x", "1,5", "2026-01-01T00:00:00", "0y10"])
@pytest.mark.parametrize("column", ["ts", "off"])
def test_a_word_where_a_number_belongs_is_named(
    tmp_path: Path, column: str, value: str
) -> None:
    row = {"ts": "1", "off": "2", column: value}
    path = write(tmp_path, f"ts;off;len;rw\n1;2;3;r\n{row['ts']};{row['off']};3;r\n")
    with pytest.raises(TraceError) as refusal:
        read(path, columns="time=ts:us,offset=off:B,size=len:B,op=rw")
    dated = ": say that it is a date or a time of day, by the unit date"
    more = dated if column == "ts" and value.startswith("2026-") else ""
    assert str(refusal.value) == (
        f"{path}: row 3: {column}: {value!r} is no number{more}"
    )


def test_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("ts,off,len,rw\n1,2,3,r\n", "utf-16")
    with pytest.raises(TraceError, match="is text in UTF-16: make it UTF-8"):
        read(path, columns="time=ts:us,offset=off:B,size=len:B,op=rw")


def test_an_unknown_operation_is_refused_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, "tenant,rw,ts,len,off\na,r,1,1,1\na,q,2,1,1\n")
    with pytest.raises(TraceError, match="row 3: rw is 'q', not 'r', 'read'"):
        read(path, columns=COLUMNS)


def test_names_that_are_no_utf_8_are_shown_and_stay_distinct(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # GIVEN names in Latin-1 and UTF-8, and a row with a column too few among them
    path = tmp_path / "f.csv"
    rows = b"1,0,512,r,caf\xe9\n2,512,512,w,caf\xc3\xa9\n3,1024,512,r,\xff\xfe\n"
    path.write_bytes(rows)
    columns = "time=1:s,offset=2:B,size=3:B,op=4,cgroup=5"
    # THEN each is a cgroup of its own
    found, summary = read(path, "csv", columns=columns)
    assert paths(found, summary) == ["/caf\\xe9", "/café", "/\\xff\\xfe"]
    # AND a row that does not fit is refused by its number, with nothing beside it
    path.write_bytes(rows + b"4,\xff\n")
    with pytest.raises(TraceError, match="row 4: "):
        read(path, "csv", columns=columns)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_a_character_may_lie_on_a_blocks_border(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    text = "añ\u20ac\U0001f600b\n" * 3
    path = tmp_path / "f"
    path.write_bytes(text.encode() + b"\xe2\x82")
    with Unpacked(path) as file:
        feed = _Feed(SimpleNamespace(file=file), None)  # type: ignore[arg-type]
        parts = []
        while part := feed.read(block):
            parts.append(part)
    assert b"".join(parts).decode() == text + "\\xe2\\x82"


@pytest.mark.parametrize("name", ["msr", "alibaba", "fiu", "systor"])
def test_a_byte_order_mark_is_no_part_of_the_first_row(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbf" + SAMPLES[name])
    rows, summary = read(path)
    assert (len(rows), summary.format) == (1, name)


def test_blanks_in_quotes_are_kept_where_columns_stand_under_each_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "f"
    path.write_text(
        "at  from  size  op  who\n"
        '1   0     512   r   "a  b"\n'
        '2   512   512   w   "a b"\n'
    )
    columns = "time=at:s,offset=from:B,size=size:B,op=op,cgroup=who"
    rows, summary = read(path, "csv", columns=columns)
    assert paths(rows, summary) == ["/a  b", "/a b"]


@pytest.mark.parametrize(
    "moment",
    [
        "2024-01-03 10:20:30.5+0200",
        "2024-01-03T10:20:30.5+02:00",
        "2024-01-03 10:20:30.5 +02",
        "2024/1/3 08:20:30,5 UTC",
        "2024-01-03 08:20:30.5 GMT",
        "2024-01-03T08:20:30.500000Z",
    ],
)
def test_dates_of_one_moment_are_the_same(tmp_path: Path, moment: str) -> None:
    path = write(
        tmp_path, f"ts;off;len;rw\n2024-01-03 08:20:30;2;3;r\n{moment};2;3;r\n"
    )
    rows, _ = read(path, columns="time=ts:date,offset=off:B,size=len:B,op=rw")
    assert [row["queue_ns"] for row in rows] == [0, 500_000_000]


@pytest.mark.parametrize("zone", ["+2", "+02:0", "UTCx", "+0200x", "CET"])
def test_zones_that_are_none_are_refused(tmp_path: Path, zone: str) -> None:
    path = write(tmp_path, f"ts;off;len;rw\n2024-01-03 08:20:30 {zone};2;3;r\n")
    with pytest.raises(TraceError, match="is no date and no time of day"):
        read(path, columns="time=ts:date,offset=off:B,size=len:B,op=rw")


@pytest.mark.parametrize("word", ["", "-", "NaN", "NA", "n/a", "NULL", "None"])
def test_words_for_nothing_are_no_response(tmp_path: Path, word: str) -> None:
    path = write(tmp_path, f"ts;off;len;rw;lat\n1;2;3;r;{word}\n2;2;3;r;7\n")
    rows, _ = read(
        path, columns="time=ts:us,offset=off:B,size=len:B,op=rw,response=lat:us"
    )
    assert [row["complete_ns"] for row in rows] == [None, 8000]
