"""What is in a trace, for a person to read."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from replay.report.format import count_text, plain
from replay.report.quality import quality_lines
from replay.trace.info import TraceInfo
from replay.trace.metadata import Process, Quality

#: Rows of a table that may have very many; JSON holds them all.
TOP: Final = 20


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
    lines = info.notes + quality_lines(info.quality, [one.path for one in read])
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
