"""Inputs that are no block trace, or no readable one: named, with what to do.

Told by its first bytes or lines, and by nothing that a trace might have.
"""

import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Final

import numpy as np

from replay.trace.formats.biosnoop import what_lacks
from replay.trace.text import kinds

#: First bytes -> what it is.
_MAGICS: Final = (
    (
        b"PERFILE2",
        "is perf's recording (perf.data): print it by `perf script -i FILE`, and give "
        "the text",
    ),
    (
        b"\x17\x08\x44tracing",
        "is trace-cmd's recording (trace.dat): print it by `trace-cmd report -i FILE`, "
        "and give the text",
    ),
    (b"PAR1", "is a Parquet file: write it as CSV, and name its columns by --columns"),
    (b"SQLite format 3\0", "is an SQLite database, no trace"),
    (b"\x7fELF", "is a program, no trace"),
    (b"\xd4\xc3\xb2\xa1", "is a network capture (pcap), no block trace"),
    (b"\x0a\x0d\x0d\x0a", "is a network capture (pcapng), no block trace"),
)
_SUMS: Final = "only sums over time, not its requests: record with blktrace"
#: A line that one of the first must be, and what the text is.
_LINES: Final = (
    (
        re.compile(rb"avg-cpu: |(?:Device:?|ssd)\s.*(?:r/s|rrqm/s|tps)\s"),
        f"is iostat's: it has {_SUMS}",
    ),
    (re.compile(rb"\d\d:\d\d:\d\d.*\sDEV\s+tps\s"), f"is sar's: it has {_SUMS}"),
    (re.compile(rb"procs? -+memory-+|disk- -+reads"), f"is vmstat's: it has {_SUMS}"),
    (re.compile(rb"Total DISK READ\b"), f"is iotop's: it has {_SUMS}"),
    (
        re.compile(rb"\s*(?:usecs|msecs|nsecs)\s+: count\s+distribution"),
        f"is a histogram of latencies, as biolatency prints it: it has {_SUMS}",
    ),
    (
        re.compile(rb"\s*[Kk][Bb]ytes\s+: count\s+distribution"),
        f"is a histogram of sizes, as bitesize prints it: it has {_SUMS}",
    ),
    (
        re.compile(rb"(?:\S+\s+)?PID\s+COMM\s+D\s+MAJ\s+MIN\s"),
        f"is biotop's: it has {_SUMS}",
    ),
    (re.compile(rb".*\sUID\s+PID\s+kB_rd/s\s"), f"is pidstat's: it has {_SUMS}"),
    (
        re.compile(rb" *\d+\.\d{3} (?:\([ \dms.]*\): )?.{1,40}/\d+ block:block_"),
        "is perf trace's: print perf's recording of block:* by `perf script` instead",
    ),
    (
        re.compile(rb"\d+,[^,]+,\d+,\d+,\d+,(?:gets?|set|add|cas|(?:ap|pre)pend)\b"),
        "is a trace of requests to a cache (Twitter's): there is no block I/O in it to "
        "replay",
    ),
    (
        re.compile(rb"=+ All Devices =+|\s*ALL\s+MIN\s+AVG\s+MAX\s+N\b"),
        "is btt's: give the recording that it was made of",
    ),
)
_FIO_REPORT: Final = re.compile(rb"\s*\{\s*\"fio version\"")
_SUMMARY: Final = re.compile(rb"^ *(?:CPU\d+ \(|Total \()[^\n]*:\s*\n", re.MULTILINE)
_ORACLE: Final = re.compile(r"oracle_?general", re.IGNORECASE)
_CACHE: Final = (
    "oracleGeneral (libCacheSim): requests to a cache, with whole seconds and no "
    "operation; there is no block I/O in it to replay"
)
#: A record of oracleGeneral: time, object, size, the next access of the same object.
_ORACLE_RECORD: Final = np.dtype(
    [("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")]
)
_FEWEST: Final = 8
_LARGEST: Final = 1 << 30
_LONGEST_S: Final = 100_000_000


def _is_oracle(head: bytes) -> bool:
    """Tell records of 24 bytes by what each field can hold."""
    n = len(head) // _ORACLE_RECORD.itemsize
    if n < _FEWEST:
        return False
    rows = np.frombuffer(head, _ORACLE_RECORD, n)
    time, later = rows["time"].astype(np.int64), rows["next"]
    numbers = np.arange(n)
    return bool(
        (np.diff(time) >= 0).all()
        and time[-1] - time[0] < _LONGEST_S
        and (rows["size"] > 0).all()
        and (rows["size"] < _LARGEST).all()
        and ((later <= 0) | (later > numbers)).all()
        and (later >= -2).all()
        and len(np.unique(rows["object"])) > 1
    )


def _by_line(head: bytes) -> str | None:
    lines = head.splitlines()[:40]
    return next(
        (text for line, text in _LINES if any(map(line.match, lines))),
        None,
    )


def _cache_text(head: bytes) -> str | None:
    """Tell text of requests to a cache by its header."""
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace").lower()
    names = {one.strip() for one in re.split(r"[,\t;]", first)}
    keys = {"obj_id", "object_id", "key", "obj", "objid"}
    if keys & names and not {"lba", "offset", "sector"} & names:
        return (
            "is a trace of requests to a cache (their keys, no places on a disk): "
            "there is no block I/O in it to replay"
        )
    return None


def refused(path: str, head: bytes) -> str | None:
    """Say what a file is that is no trace, and what to do.

    Parameters
    ----------
    path : str
        Its name.
    head : bytes
        Its first bytes, decompressed; of no format for sure.

    Returns
    -------
    str or None
        None if it is not known either.
    """
    for magic, text in _MAGICS:
        if head.startswith(magic):
            return text
    is_text = b"\0" not in head
    if _ORACLE.search(PurePath(path).name):
        return f"is {_CACHE}"
    if not is_text:
        return f"looks like {_CACHE}" if _is_oracle(head) else None
    tests: tuple[Callable[[bytes], str | None], ...] = (
        what_lacks,
        kinds.what_lacks,
        _by_line,
        _cache_text,
    )
    for test in tests:
        if (found := test(head)) is not None:
            return found
    if _FIO_REPORT.match(head):
        return (
            "is fio's report: give its iolog (write_iolog), or a latency log with "
            "log_offset=1"
        )
    if _SUMMARY.search(head):
        return (
            "is blkparse's summary alone (-q): there are no events in it; print it "
            "without -q, or give the recording itself"
        )
    return None
