"""Small recordings of other formats, made by hand, and what is in them."""

from pathlib import Path
from typing import Any

from replay.trace.convert import open_or_convert
from replay.trace.file.metadata import ROW_EVENT, Summary
from replay.trace.formats.options import FormatOptions
from support.blktrace import writes

#: What a row has if its test does not say otherwise.
COLUMNS = ("queue_ns", "complete_ns", "sector", "nbytes", "op")

#: Content that tells its format.
SAMPLES = {
    "blktrace": writes(3),
    "blkparse": b"  8,0    1       11     0.009507758   697  D   W 223490 + 8 [a]\n"
    b"  8,0    1       12     0.009508758     0  C   W 223490 + 8 [0]\n",
    "kernel": b"  fio-2601  [015] d.h1. 2017.735401: block_rq_issue: 7,0 WS 4096 () "
    b"8 + 8 [fio]\n  fio-2601  [015] .... 2017.735501: block_rq_complete: 7,0 WS () "
    b"8 + 8 [0]\n",
    "msr": b"128166372003061629,usr,0,Read,7014609920,24576,41286\n",
    "alibaba": b"419,W,8792731648,16384,1577808000000626\n",
    "systor": b"Timestamp,Response,IOType,LUN,Offset,Size\n1.5,,R,0,0,512\n",
    "fiu": b"777599999908936 2552 kjournald 224 8 W 6 0 3f4fc2833a17fd2a3\n",
    "vscsi": bytes.fromhex(
        "00000080 00020000 01000000 2a000001 d91a8f0200000000 e2e8e0c01f050000"
    ),
    "blkreplay": b"  0.000000000 ;  6293576 ;    8 ; W ; 0.0 ; 0.0\n",
    "biosnoop": b"TIME(s)  COMM  PID  DISK  T SECTOR  BYTES  LAT(ms)\n"
    b"0.5  tmux: server 7  sda  WS 800  4096  0.11\n",
    "spc": b"0,20941776,8192,W,0.551001,Alpha/NT\n0,20940352,8192,w,0.554002\n",
    "thesios": b"filename,file_offset,application,op_type,request_io_size_bytes,"
    b"disk_io_size_bytes,start_time,simulated_latency\n1,512,a,READ,512,512,1.5,0.1\n",
    "fio-lat": b"2685, 56564, 0, 2048, 4096, 0\n2690, 56564, 1, 2048, 8192, 0\n",
    "fio-iolog": b"fio version 3 iolog\n1 /a add\n2 /a read 0 512\n",
}
#: Nothing in these tells what they are.
UNTOLD = {
    "tencent": b"1538323201,100,8,0,1283\n",
    "disksim": b"0.500000 0 100 8 0\n",
    "mqsim": b"500000 0 100 8 0\n",
    "csv": b"a,b,c,d\n1,2,3,r\n",
}


def read(
    path: Path, name: str | None = None, **options: str
) -> tuple[list[dict[str, Any]], Summary]:
    """Read a file: its rows, and its summary."""
    chosen = FormatOptions(name=name, **options)
    with open_or_convert(path, format=chosen) as trace:
        table = trace.table()
        # numpy values at nulls are what the engine reads
        for column in ("queue_ns", "issue_ns", "complete_ns"):
            for chunk in table[column].chunks:
                nulls = chunk.is_null().to_numpy(zero_copy_only=False)
                values = memoryview(chunk.buffers()[1]).cast("q")
                assert all(
                    values[chunk.offset + row] == -1
                    for row, null in enumerate(nulls)
                    if null
                )
        if ROW_EVENT in trace.metadata.summary.quality.events:
            queue, issue = (table[one].to_numpy() for one in ("queue_ns", "issue_ns"))
            assert (queue <= issue).all()
            assert (issue[1:] >= issue[:-1]).all()
        return table.to_pylist(), trace.metadata.summary


def brief(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """Show some columns of rows."""
    return [tuple(row[name] for name in columns or COLUMNS) for row in rows]


def paths(rows: list[dict[str, Any]], summary: Summary) -> list[str | None]:
    """Show the rows' cgroups by their paths."""
    known = {cgroup.id: cgroup.path for cgroup in summary.cgroups}
    return [known[row["cgroup"]] for row in rows]
