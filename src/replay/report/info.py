"""What is in a trace, for a person to read."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from replay.report.format import count_text, plain
from replay.trace.info import TraceInfo
from replay.trace.metadata import ROW_EVENT, Process, Quality

#: Rows of a table that may have very many; JSON holds them all.
TOP: Final = 20

#: What it means that an event's request is not known.
_UNMATCHED: Final = {
    "complete": "completed a request that was never seen to be issued",
    "issue_without_queue": "issued a request that was never seen to be queued",
    "merge": "merged into a request that was never seen",
    "split": "split a request that was never seen",
    "requeue": "put back a request that was never seen to be issued",
    "get": "got a request for a bio that was never seen to be queued",
    "late_issue": "issued a request too late to be kept",
    "insert": "inserted a request that was never seen to be queued",
}


def info_page(info: TraceInfo) -> RenderableType:
    """Lay out what is in a trace.

    Parameters
    ----------
    info : TraceInfo
        What to show.

    Returns
    -------
    RenderableType
        For a rich console, or `replay.report.text.render_text`.
    """
    read = [source for source in info.sources if source.role == "trace"]
    n_bytes = sum(source.nbytes for source in read)
    files = f"{count_text(len(read), 'file')}, {count_text(n_bytes, 'byte')}"
    span = f"{count_text(info.requests, 'request')} in {_time(info.span_ns)} s"
    began = f", from {info.wall_clock}" if info.wall_clock else ""
    lines = info.notes + quality_lines(info.quality, info.missing_cpus)
    return Group(
        Text(plain(info.path), "bold"),
        Text(span + began),
        Text(f"read from {files}, as {plain(info.format)}"),
        "",
        _counts(info),
        "",
        _cgroups(info),
        "",
        _processes(info),
        "",
        _records(info.quality),
        *map(Text, lines or ["Nothing was lost, and every event found its request."]),
    )


def quality_lines(
    quality: Quality, missing_cpus: Mapping[str, Sequence[int]]
) -> list[str]:
    """Say what was lost or odd, in words.

    Parameters
    ----------
    quality : Quality
        What became of every record.
    missing_cpus : mapping
        Base name to the CPUs without a file.

    Returns
    -------
    list of str
        A line each; empty if there is nothing to say.
    """
    lines = [
        f"{plain(name)}: there is no file of CPU {_ranges(cpus)}: what was recorded "
        "there is missing, unless nothing was"
        for name, cpus in missing_cpus.items()
    ]
    if lost := sum(quality.lost.values()):
        by_cpu = sorted(quality.lost.items(), key=lambda one: (len(one[0]), one[0]))
        where = ", ".join(f"{count:,} on CPU {cpu}" for cpu, count in by_cpu)
        lines.append(
            f"{count_text(lost, 'event')} lost while recording ({where}): give "
            "blktrace more or larger buffers (-n, -b)"
        )
    unmatched = [
        (count, "event", _UNMATCHED.get(kind, f"of a request never seen ({kind})"))
        for kind, count in sorted(quality.unmatched.items())
    ]
    lines += [
        f"{count_text(count, unit)} {text}"
        for count, unit, text in (
            (quality.refused_bytes, "byte", "skipped: they hold no valid record"),
            (quality.truncated_bytes, "byte", "of a record cut off at a file's end"),
            (quality.unknown, "record", "of an unknown kind left out"),
            (quality.out_of_order, "record", _out_of_order(quality)),
            *unmatched,
            (quality.unfinished, "request", "issued but not seen to complete"),
            (quality.never_issued, "request", "queued but not seen to be issued"),
            (quality.late_completions, "completion", "too late to be kept"),
            (quality.names_dropped, "process name", "more than are kept"),
            (quality.processes_dropped, "request", "of processes more than are kept"),
        )
        if count
    ]
    return lines


def _out_of_order(quality: Quality) -> str:
    """Say what was done: rows of a format are sorted, events keep their place."""
    sorted_ = ROW_EVENT in quality.events
    return f"out of order: {'sorted' if sorted_ else 'moved to the time reached'}"


def _counts(info: TraceInfo) -> Table:
    table = _table("Devices", "device", "operation", "requests", "bios", "bytes")
    for one in info.counts:
        name = info.device_names.get(one.device)
        device = f"{one.device} {plain(name)}" if name else one.device
        table.add_row(device, one.op, *_numbers(one.requests, one.bios, one.bytes))
    return table


def _cgroups(info: TraceInfo) -> Table:
    table = _table("Cgroups", "id", "path", "requests", "bios", "bytes")
    for one in info.cgroups[:TOP]:
        path = one.path or ("none recorded" if one.id == 0 else "not known")
        table.add_row(
            str(one.id),
            Text(plain(path), "" if one.path else "dim"),
            *_numbers(one.requests, one.bios, one.bytes),
        )
    return _with_rest(table, len(info.cgroups))


def _processes(info: TraceInfo) -> Table:
    table = _table("Processes", "pid", "name", "requests", "first s", "last s")
    # most are named in passing: blktrace notes every process it meets
    active = [one for one in info.processes if one.n_requests]
    for one in active[:TOP]:
        table.add_row(
            str(one.pid),
            Text(_names(one)),
            *_numbers(one.n_requests),
            _time(one.first_ns),
            _time(one.last_ns),
        )
    return _with_rest(table, len(active))


def _names(process: Process) -> str:
    """Show the names in order of time, one that follows itself once."""
    names: list[str] = []
    for one in process.names:
        if names[-1:] != [one.name]:
            names.append(one.name)
    return " → ".join(plain(name) for name in names)


def _records(quality: Quality) -> Text:
    parts = [f"{count:,} {letter}" for letter, count in sorted(quality.events.items())]
    parts += [
        count_text(count, f"{kind} note")
        for kind, count in sorted(quality.notes.items())
    ]
    text = f"{count_text(quality.records, 'record')}: {', '.join(parts)}"
    extra = [
        count_text(count, unit)
        for count, unit in (
            (quality.flush_sequences, "flush sequence"),
            (quality.partial_completions, "partial completion"),
            (quality.requeues, "requeue"),
        )
        if count
    ]
    return Text(text + (f" ({', '.join(extra)})" if extra else ""))


def _table(title: str, *columns: str) -> Table:
    """Make a table without frame; all but what names a row is a number."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        left = column in ("device", "operation", "path", "name")
        table.add_column(
            column,
            justify="left" if left else "right",
            header_style="dim",
            overflow="fold",
            no_wrap=not left,
        )
    return table


def _with_rest(table: Table, n_rows: int) -> Table:
    if n_rows > TOP:
        table.add_row("…", f"and {n_rows - TOP:,} more: see --json")
    return table


def _numbers(*values: int) -> list[str]:
    return [f"{value:,}" for value in values]


def _time(time_ns: int | None) -> str:
    """Show ns as seconds, to the µs; nothing if there is none."""
    return "" if time_ns is None else f"{time_ns / 1_000_000_000:,.6f}"


def _ranges(numbers: Sequence[int]) -> str:
    """Show ascending numbers as ``"1-3, 7"``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in runs)
