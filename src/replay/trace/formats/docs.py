"""Describe the formats: ``python -m replay.trace.formats.docs``.

What comes out is ``docs/formats.md``; a test checks that the file is current.
"""

import sys
from typing import Final, NamedTuple

from replay.trace.file.schema import TRACE_SCHEMA
from replay.trace.formats.csv_columns import OPTIONAL, REQUIRED
from replay.trace.formats.magic import BLKTRACE
from replay.trace.formats.operations import OPERATIONS
from replay.trace.formats.registry import BLKPARSE, FORMATS, KERNEL
from replay.trace.inputs.unpack import MAGICS, MAX_RATIO


class _Described(NamedTuple):
    name: str
    text: str
    columns: str
    cgroup: str
    recognised: bool
    estimate: str | None
    lacks: str = ""


_DECODED: Final = (
    _Described(
        BLKTRACE,
        "blktrace's records: per-CPU sets and dumps of blkparse -d",
        "the kernel's, versions 7 and 8, either byte order",
        "the id that the kernel recorded",
        True,
        None,
    ),
    _Described(
        BLKPARSE,
        "blkparse's text, default format or `--blkparse-format`",
        "device, CPU, sequence, time (s), pid, action, flags, sector (512 B), number "
        "of sectors, process or error",
        "%g of the format given",
        True,
        None,
        "the wall clock, the length of commands, cgroups in its default format",
    ),
    _Described(
        KERNEL,
        "the kernel's trace: ftrace (`trace`, `trace_pipe`), its tracer blk, "
        "`trace-cmd report`, `perf script`, `replay record --with bpf`",
        "of the events block:* device, flags, bytes, sector, number of sectors, "
        "process or error; CPU, pid and time before them",
        "the tracer blk with the option blk_cgroup, or `perf script -F +cgroup`",
        True,
        None,
        "the wall clock, times below its digits (mostly 1 us), cgroups without those",
    ),
)

_INTRODUCTION: Final = """\
# Formats

<!-- Made by `python -m replay.trace.formats.docs > docs/formats.md`; do not edit. -->

`replay convert`, `replay info` and `replay run` read the formats below. `--format NAME`
says which one it is; without it the content tells, where that is safe. A file whose
content speaks against the name is refused, and so is one whose content does not tell.
`replay formats` prints the list.

Files may be compressed (CODECS). They are decompressed as they are read, so their size
is no matter for the memory. One that becomes more than RATIO times as long as it is,
and more than 1 GiB, is refused.
"""

_TIMES: Final = """\
## What becomes of a row

A format of requests, not events, knows one time: the request's arrival. It becomes
`queue_ns` and `issue_ns`. `complete_ns` is the arrival and the response time, or null
where the format has none; then the recorded service is not known, and a scenario with
`service.model = "linear"` gives one. Each request counts as one bio. Rows come in
order of arrival, those of one time as they lie in the file, several files merged;
`quality.out_of_order` counts the rows that were older than one before them. Where the
disorder is larger than some 10,000 rows they are sorted in the directory for temporary
files (`TMPDIR`), which then needs 56 bytes a row.

Offsets in bytes become sectors of 512 bytes, rounded down; sizes stay what they are.
A request of 4 GiB or more is refused.

**Cgroups.** Where a column says on whose behalf a request is, its words become cgroups
2, 3, … in order of appearance, and their path is the word: `/hm_0`. Scenarios name
them by that path.

**Devices.** Where the format has no device numbers, its devices become 0:1, 0:2, … in
order of appearance: no block device has the major number 0. `replay info` shows their
names.

What is not right is refused with file and row: a field that is no number, a negative
size, an operation that is not known. Rows are counted from 1 and blank lines are not.

## blkparse's text

Text and the records that it was printed from give the same requests. Comments and the
summary at the end are left out, a line that was cut at the file's beginning or end is
counted in `quality.truncated_bytes`, and any other in `quality.refused_bytes`; text of
which most lines are not in the format is refused. Text that was printed with `-f` is
read by the same string: `--blkparse-format "FORMAT"`. It must have %a, %d, %T, %t, %S
and %n or %N; cgroups are read by %g. The process's name (%C) may hold anything: it is
the longest with which the rest of the line fits the format. Lines that are slightly out
of order are put in order. While it is read, the records take about as much of the
directory for temporary files as the text is long. blkparse 1.2.0 knows no cgroup ids
and leaves out every record that carries one (`Bad fs action`): of such recordings give
the files themselves.

Text in which numbers of events are missing was filtered (grep, `-a`) if the requests
that are there are whole, or of one process or kind, or without their completions, or if
blkparse's summary says that nothing was skipped: then no events are lost
(`quality.left_out`). Text whose format has no action (%a) is read with the one of all
its lines before it, as blkparse's `-F` takes it: `--blkparse-format 'D,FORMAT'`.
Times that a live blkparse printed before its first event (1266874889.7…) are put where
they belong.

## The kernel's trace as text

The same requests as blktrace's of the same I/O: block_bio_queue is a Q, block_getrq a
G, block_rq_insert an I, block_rq_issue a D, block_rq_requeue an R, block_rq_complete a
C, block_bio_remap and block_rq_remap an A, block_split an X, block_bio_backmerge and
block_rq_merge an M, block_bio_frontmerge an F; lines of the tracer blk as it prints
them, with its option blk_classic too. CPU and process may be missing before the time,
and are then not known. Other events are counted and left out, and so are those of no
disk (0,0). Flags that older kernels print as N are write-zeroes where the event has a
length, else commands. Events that the trace's buffer lost are counted where the text
says so. Times that are each the time since the line before (`perf script --deltatime`)
are added up, and noted: lines must not be missing, and without `--ns` each is cut to
1 us. Such text that does not begin with 0 is refused, and so is text without times.
Call chains behind events (perf record -g, ftrace's stacktrace) are left out.

## biosnoop and iosnoop

TIME is when a request was done: it was issued LAT before, and queued QUE before that.
Rows of no disk, which are commands to a controller, are left out and counted; a sector
18446744073709551615 is none: the row is a flush, or a command. Where bcc's biosnoop
prints no blank behind BYTES (7 digits and more, before a time of 1000 ms and more) the
size ends where it is of whole sectors; a row where that is not sure is refused.

## csv

`--columns "time=ts:us,offset=off:B,size=len:B,op=rw,cgroup=tenant"` says FIELD=COLUMN
and behind a colon the unit. A column is its name in the header or, for files without
one, its number from 1. Commas, semicolons, bars, tabs or blanks (any number) separate
columns; a line that begins with `#` above the header or the first row is a comment, but
for one that names the columns. Where blanks separate columns a process's name may hold
some.

A request has three times: it is queued (`time`), issued (`issue`) and done (`end`).
`wait` is from the first to the second, `response` from the second to the third. Give
what there is: `time` alone says the second, too; `end` with `response` says when it
was issued. The unit `date` is for dates (UTC, unless they have a zone) and times of
day, which go on behind midnight. A column of cgroups may hold paths (`/a/b`, `/a/b/`,
`0::/a/b`; `/` is the root, nothing is none), other names, or with `--cgroups IDS` the
kernel's ids.

Where issue and completion are rows of their own, `event` is the column that says which
a row is: `event=ev`, with words of your own `event=ev:S=issue/E=complete/X=skip`. A
completion belongs to the earliest issue of its device, sector and operation that is
open, or of its `id`, where a column has one. A completion without an issue is left out
and noted; an issue without a completion is a request that was not done.
"""


def described() -> list[_Described]:
    """List all formats."""
    return [
        *_DECODED,
        *(
            _Described(
                one.name,
                one.text,
                one.columns,
                one.cgroup,
                one.matches is not None,
                one.estimate,
                one.lacks,
            )
            for one in FORMATS
        ),
    ]


def listing() -> str:
    """List the formats for the terminal.

    Returns
    -------
    str
        Two lines each.
    """
    lines = []
    for one in described():
        asked = "" if one.recognised else " (must be named)"
        lines.append(f"{one.name:<10} {one.text}{asked}")
        lines.append(f"{'':<10} {one.columns}")
    return "\n".join(lines) + "\n"


def document() -> str:
    """Describe the formats.

    Returns
    -------
    str
        Markdown.
    """
    introduction = _INTRODUCTION.replace("RATIO", str(MAX_RATIO))
    parts = [introduction.replace("CODECS", ", ".join(sorted(MAGICS.values())))]
    parts.append(
        "| name | what, and who writes it | columns and units | cgroup from | told by "
        "content | lacks |\n|---|---|---|---|---|---|\n"
        + "".join(
            f"| `{one.name}` | {one.text} | {_columns(one)} | {one.cgroup} "
            f"| {'yes' if one.recognised else 'no'} | {one.lacks or 'nothing'} |\n"
            for one in described()
        )
    )
    parts.append(_TIMES)
    words: dict[str, list[str]] = {}
    for word, name in OPERATIONS.items():
        words.setdefault(name, []).append(f"`{word}`")
    parts.append(
        f"Needed are {_names(REQUIRED)}; {_names(OPTIONAL)} may follow. Operations are "
        "known by the words "
        + "; ".join(f"{', '.join(some)} ({name})" for name, some in words.items())
        + ", in any case, and by the kernel's (WSM, RAM, FF, DE, WZ, …); "
        "others are named: `op=type:0=read/1=write/9=skip`, of which skip leaves rows "
        "out.\n"
    )
    parts.append(
        "## The trace file\n\n| column | type | unit | meaning |\n|---|---|---|---|\n"
        + "".join(
            f"| `{field.name}` | {_type(str(field.type))} "
            f"| {field.metadata[b'unit'].decode()} "
            f"| {field.metadata[b'description'].decode()} |\n"
            for field in TRACE_SCHEMA
        )
    )
    return "\n".join(parts)


def _columns(one: _Described) -> str:
    return f"{one.columns}. Estimated: {one.estimate}" if one.estimate else one.columns


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _type(text: str) -> str:
    return "dictionary of strings" if text.startswith("dictionary") else text


if __name__ == "__main__":
    sys.stdout.write(document())
