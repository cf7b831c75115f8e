"""What is offered for a CSV that the user said nothing about."""

import re
from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.formats.csv_columns import DELIMITERS
from replay.trace.formats.guess import read_sample, suggest_columns
from support.samples import read

#: Columns that most tables have, as a suggestion writes them.
REST = "offset=sector:sectors,size=bytes:B,op=op"


def offered(path: Path) -> str:
    """Return the columns that the refusal of a table offers."""
    with pytest.raises(TraceError) as refusal:
        read(path)
    found = re.search(r'--columns "(.*?)"', str(refusal.value))
    assert found is not None, str(refusal.value)
    return found[1]


def table(header: str, *rows: str) -> str:
    sample = read_sample("\n".join([header, *rows, ""]).encode(), DELIMITERS)
    assert sample is not None
    return re.sub(r'--columns "(.*)"', r"\1", suggest_columns(sample))


def test_every_column_that_is_there_is_offered_and_taken_as_it_is_offered(
    tmp_path: Path,
) -> None:
    # GIVEN a table as a script of one's own writes it: seconds with a fraction
    path = tmp_path / "t.csv"
    path.write_text(
        "time,op,sector,bytes,cgroup,pid,comm,latency\n"
        "0.000144,R,267456,8192,/sys/b,12,dd,0.000527\n"
        "0.001699,W,511552,4096,/sys/a,11,java,0.000595\n"
    )
    # WHEN the columns that its refusal offers are pasted
    columns = offered(path)
    assert columns == (
        f"time=time:s,{REST},response=latency:s,cgroup=cgroup,pid=pid,process=comm"
    )
    # THEN it is read, nothing is lost and the units are right
    rows, summary = read(path, columns=columns)
    assert [row["complete_ns"] - row["issue_ns"] for row in rows] == [527_000, 595_000]
    assert [row["sector"] for row in rows] == [267_456, 511_552]
    assert [one.pid for one in summary.processes] == [11, 12]


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (("0.000144", "0.001699"), "s"),
        (("0.5", "1.0"), "s"),
        (("1.44e-05", "2.5"), "s"),
        # the date, whatever the fraction
        (("1795410785.881692", "1795410785.9"), "s"),
        (("1795410785", "1795410785"), "s"),
        (("1795410785881.5", "1795410785882.25"), "ms"),
        (("1795410785881692", "1795410785881700"), "us"),
        (("1795410785881692280", "1795410785881692380"), "ns"),
        # the distance of rows
        (("1000", "1002"), "ms"),
        (("1000", "2250"), "us"),
        (("1000000", "2250000"), "ns"),
        (("1000", "1000"), "us"),
        ((), "us"),
    ],
)
def test_the_unit_of_a_time_is_guessed_by_its_values(
    times: tuple[str, ...], unit: str
) -> None:
    rows = [f"{one},R,8,4096" for one in times]
    assert table("time,op,sector,bytes", *rows) == f"time=time:{unit},{REST}"


@pytest.mark.parametrize(
    ("header", "rows", "found"),
    [
        # what a script for bpftrace calls things; the kernel's words need no others
        (
            "nsecs,cgroup,rwbs,sector,bytes",
            ("1000000,5123,WS,8,4096", "2000000,5124,FF,0,0"),
            "time=nsecs:ns,offset=sector:sectors,size=bytes:B,op=rwbs,cgroup=cgroup",
        ),
        (
            "start_us,disk,sector,nr_sector,rw",
            ("100,sda,8,8,R", "150,sda,16,8,W"),
            "time=start_us:us,offset=sector:sectors,size=nr_sector:sectors,op=rw,"
            "device=disk",
        ),
        # dates are no numbers of us
        (
            "timestamp,op,lba,nsect",
            ("2026-11-30 12:00:00.5,R,100,8", "2026-11-30 12:00:01.5,W,200,16"),
            "time=timestamp:date,offset=lba:sectors,size=nsect:sectors,op=op",
        ),
        # an issue and a completion are one request
        (
            "ts,action,id,rw,offset,len",
            ("1.0,submit,1,read,0,4096", "1.1,complete,1,read,0,4096"),
            "time=ts:s,offset=offset:B,size=len:B,op=rw,event=action,id=id",
        ),
    ],
)
def test_names_that_tools_and_scripts_give(
    header: str, rows: tuple[str, ...], found: str
) -> None:
    assert table(header, *rows) == found


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("latency", "0.000527", "s"),
        ("lat", "0.527", "ms"),
        ("d2c", "527", "us"),
        ("responseTime", "527000", "ns"),
        ("svc_time", "12000", "us"),
        # what the name says is right
        ("latency_ns", "0.5", "ns"),
        ("duration (ms)", "52700", "ms"),
        ("rt", "", "us"),
    ],
)
def test_a_response_is_about_a_millisecond_where_its_name_does_not_tell(
    name: str, value: str, unit: str
) -> None:
    found = table(f"{name},time,op,sector,bytes", f"{value},0.5,R,8,4096")
    assert found == f"time=time:s,{REST},response={name}:{unit}"


@pytest.mark.parametrize(
    ("offset", "size", "units"),
    [
        (("4096", "0"), ("512", "8192"), ("B", "B")),
        (("267457", "8"), ("4096", "8192"), ("sectors", "B")),
        (("267457", "8"), ("8", "64"), ("sectors", "sectors")),
        (("1024", "0"), ("4", "64"), ("B", "KiB")),
        (("4096", "0"), ("1", "7"), ("B", "sectors")),
        (("4096", "0"), ("1000", "4007"), ("B", "B")),
    ],
)
def test_sizes_are_of_whole_sectors(
    offset: tuple[str, str], size: tuple[str, str], units: tuple[str, str]
) -> None:
    rows = [f"0.5,w,{o},{n}" for o, n in zip(offset, size, strict=True)]
    found = table("ts,rw,off,len", *rows)
    assert found == f"time=ts:s,offset=off:{units[0]},size=len:{units[1]},op=rw"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("R", "WS", "discard"), ""),
        (("0", "1"), ":0=read/1=write"),
        (("Read10", "WRITE_SAME"), ":read10=read/write_same=write"),
        (("0", "2"), ""),
        (("x", "r"), ""),
    ],
)
def test_words_of_an_operation_that_are_not_known_are_spelt_out(
    words: tuple[str, ...], said: str
) -> None:
    rows = [f"0.5,{word},8,4096" for word in words]
    assert table("time,op,sector,bytes", *rows) == f"time=time:s,{REST}{said}"


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        # a process by number is a pid, by name a name
        ("process_id;process", "12;dd", "pid=process_id,process=process"),
        ("pid;command line", "dd;cp a b", "process=command line"),
        ("process", "12", ""),
        # the name itself before one that holds it
        ("cgroup_id;cgroup", "7;/a", "cgroup=cgroup"),
        ("disk;container", "sda;web", "cgroup=container,device=disk"),
        # when it ended is no field
        ("end_time;complete_ts", "1.5;1.6", ""),
    ],
)
def test_names_are_told_apart(header: str, row: str, said: str) -> None:
    found = table(f"{header};time;op;sector;bytes", f"{row};0.5;R;8;4096")
    assert found == f"time=time:s,{REST}{said and ','}{said}"


def test_comments_a_byte_order_mark_and_a_row_cut_short_are_no_values() -> None:
    head = "\ufeff# mine\ntime,op,sector,bytes\n0.5,R,8,4096\n1,R\n70000000000".encode()
    sample = read_sample(head, DELIMITERS)
    assert sample is not None
    assert sample.values["time"] == ["0.5"]
    assert read_sample(b"", DELIMITERS) is None
    assert read_sample(b"1,2,3,4\n", DELIMITERS) is None


def test_times_are_rounded_to_a_nanosecond(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "time,op,sector,bytes\n0.5,R,8,4096\n2.0001449,R,8,4096\n1e2,R,8,4096\n"
        "0.1e+4,R,8,4096\n1000.0000000000000009,R,8,4096\n"
    )
    rows, _ = read(path, columns=f"time=time:us,{REST}")
    assert [row["queue_ns"] for row in rows] == [0, 1500, 99_500, 999_500, 999_500]


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("s", "1e400", "'1e400' is too large"),
        ("s", "1,5", "'1,5' is no number"),
        (
            "s",
            "12:30:01",
            "'12:30:01' is no number: say that it is a date or a time of "
            "day, by the unit date",
        ),
        (
            "date",
            "5",
            "'5' is no date and no time of day, such as 2026-01-31 17:58:57.114",
        ),
        ("s", "1" * 45, f"'{'1' * 45}' is too large"),
    ],
)
def test_what_the_csv_reader_says_is_said_in_our_words(
    tmp_path: Path, unit: str, value: str, text: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"time;op;sector;bytes\n{value};R;8;4096\n")
    with pytest.raises(TraceError) as refusal:
        read(path, columns=f"time=time:{unit},{REST}")
    assert str(refusal.value) == f"{path}: row 2: time: {text}"


def test_an_operation_that_is_not_known_is_refused_with_how_to_name_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,op,sector,bytes\n1,R,8,4096\n1,q,8,4096\n")
    with pytest.raises(TraceError, match=r"op is 'q'.*as in op=op:0=read/1=write$"):
        read(path, columns=f"time=time:s,{REST}")


def test_a_field_that_is_missing_is_offered_by_the_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,op,sector,bytes\n1,R,8,4096\n")
    with pytest.raises(
        TraceError, match="op missing: for example --columns"
    ) as refusal:
        read(path, columns="time=time:ms, offset=sector:sectors,size=bytes:B")
    # THEN what was said stays as it was
    assert f'"time=time:ms,{REST}"' in str(refusal.value)


ALIGNED = """\
# printed for people
TIME(s)     NAME.comm      PID    DISK      T SECTOR     BYTES  LAT(ms)
0.000000    supervise      1950   xvda1     W 13092560   4096      0.74
 0.000210   supervise      1950   xvda1     W 13092432   4096      0.61
12.000500   java           77     xvda1     R 8          65536    12.10
"""


def test_a_table_with_its_columns_under_each_other_is_offered_and_read(
    tmp_path: Path,
) -> None:
    # GIVEN a table with any number of blanks, and an operation that no name tells
    path = tmp_path / "t.txt"
    path.write_text(ALIGNED)
    columns = offered(path)
    assert columns == (
        "time=TIME(s):s,offset=SECTOR:sectors,size=BYTES:B,op=T,response=LAT(ms):ms,"
        "device=DISK,pid=PID,process=NAME.comm"
    )
    # THEN it is read
    rows, summary = read(path, columns=columns)
    assert [row["op"] for row in rows] == ["write", "write", "read"]
    assert [row["issue_ns"] for row in rows] == [0, 210_000, 12_000_500_000]
    assert [row["complete_ns"] - row["issue_ns"] for row in rows][:2] == [
        740_000,
        610_000,
    ]
    assert [one.pid for one in summary.processes] == [77, 1950]
    # AND by numbers, without its header, as well
    path.write_text("".join(ALIGNED.splitlines(keepends=True)[2:]))
    numbered = "time=1:s,offset=6:sectors,size=7:B,op=5,response=8:ms,pid=3,process=2"
    again, _ = read(path, columns=numbered)
    assert [row["sector"] for row in again] == [row["sector"] for row in rows]


def test_sentences_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("The time of each sector\nis not told in here 5\n")
    with pytest.raises(TraceError, match="does not tell what it is"):
        read(path)


def test_a_number_of_thousands_of_digits_is_no_size() -> None:
    # GIVEN a field beyond what Python makes an integer of
    found = table("time,sector,bytes,op", f"0.5,8,{'9' * 5000},R", "0.6,16,4096,W")
    # THEN the others say what the unit is
    assert "size=bytes:B" in found
