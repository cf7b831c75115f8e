"""A trace's facts, for a person to read."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import count_text
from replay.report.quality import heavy_losses, quality_lines
from replay.trace.file.info import TraceInfo
from replay.trace.file.metadata import ROW_EVENT, Process, Quality

#: blktrace's letters in the order of a request's life, and what they mean.
_EVENTS: Final = {
    "Q": "queued",
    "B": "bounced",
    "A": "remapped",
    "X": "split",
    "M": "merged behind",
    "F": "merged before",
    "S": "slept for a request",
    "G": "got a request",
    "P": "plugged",
    "U": "unplugged",
    "T": "unplugged by a timer",
    "I": "inserted",
    "D": "issued",
    "R": "requeued",
    "C": "completed",
}
_NOTES: Final = {"process": "process name", "timestamp": "time of day"}
_NO_LOSS: Final = "Nothing was lost, and every event found its request."
_NO_PATHS: Final = (
    "Ids without a path: name them by --cgroups IDS, a file of lines 'ID /PATH' "
    "(`replay record` saves one)"
)
_NO_CGROUP: Final = (
    "No request carries a cgroup: all are the root's, unless rules say whose they are "
    "([[assign]]; `replay init` offers some)"
)
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
    span = f"{_requests(info)} {_window(info)}"
    began = f", from {info.wall_clock}" if info.wall_clock else ""
    heavy = heavy_losses(info.quality, info.requests, n_bytes)
    losses = quality_lines(info.quality, [one.path for one in read])
    lines = [*_layers(info), *info.notes, *(losses or [_NO_LOSS]), *_hints(info)]
    return Group(
        Text(plain(info.path), "bold"),
        Text(span + began),
        *([Text(heavy, "bold yellow")] if heavy else []),
        Text(f"read from {files}, as {plain(info.format)}"),
        "",
        _counts(info),
        "",
        _cgroups(info),
        "",
        *_processes(info),
        _records(info.quality),
        *map(Text, lines),
    )


def _requests(info: TraceInfo) -> str:
    """Count the requests; what is passed on to another device, once."""
    top = sum(one.requests for one in info.top_cgroups)
    if not info.layers:
        return count_text(info.requests, "request")
    return (
        f"{count_text(top, 'request')} ({info.requests:,} with those of the devices "
        "below)"
    )


def _window(info: TraceInfo) -> str:
    """Say of what time the requests are."""
    whole = f"{_time(info.span_ns)} s"
    if info.window_ns is None:
        return f"in {whole}"
    begin, end = info.window_ns
    until = whole if end is None else f"{_time(end)} s"
    return f"from {_time(begin)} s to {until} of a recording of {whole}"


def _layers(info: TraceInfo) -> list[str]:
    """Say which devices' requests are those of others again."""
    if not info.layers:
        return []
    lines = [f"{upper} lies on {', '.join(lower)}" for upper, lower in layered(info)]
    return [
        f"{'; '.join(lines)}: I/O that is passed on is recorded once a layer; --device "
        "looks at one"
    ]


def layered(info: TraceInfo) -> list[tuple[str, list[str]]]:
    """Sort the layers: each upper device with those that it lies on."""
    found: dict[str, list[str]] = {}
    for upper, lower in info.layers:
        found.setdefault(upper, []).append(lower)
    return list(found.items())


def _hints(info: TraceInfo) -> list[str]:
    """Say what to do about cgroups that are not known."""
    ids = [one for one in info.cgroups if one.id]
    if not ids:
        return [_NO_CGROUP] if info.requests else []
    return [_NO_PATHS] if any(one.path is None for one in ids) else []


def _counts(info: TraceInfo) -> Table:
    table = _table("Devices", "device", "operation", "requests", "bios", "bytes")
    for one in info.counts:
        name = info.device_names.get(one.device)
        device = f"{one.device} {plain(name)}" if name else one.device
        table.add_row(device, one.op, *_numbers(one.requests, one.bios, one.bytes))
    return table


def _cgroups(info: TraceInfo) -> Table:
    title = "Cgroups, without the devices below" if info.layers else "Cgroups"
    table = _table(title, "id", "path", "requests", "bios", "bytes")
    for one in info.top_cgroups[:TOP]:
        path = one.path or ("none recorded" if one.id == 0 else "not known")
        table.add_row(
            str(one.id),
            Text(plain(path), "" if one.path else "dim"),
            *_numbers(one.requests, one.bios, one.bytes),
        )
    return _with_rest(table, len(info.top_cgroups))


def _processes(info: TraceInfo) -> list[RenderableType]:
    """Show who issued; nothing if the format does not say."""
    if not any(one.pid or one.names for one in info.processes):
        return []
    table = _table("Processes", "pid", "name", "requests", "first s", "last s")
    # most are named in passing: blktrace notes every process it meets
    active = [one for one in info.processes if one.n_requests]
    for one in active[:TOP]:
        table.add_row(
            str(one.pid),
            Text(_names(one) or "not known", "" if _names(one) else "dim"),
            *_numbers(one.n_requests),
            _time(one.first_ns),
            _time(one.last_ns),
        )
    return [_with_rest(table, len(active)), ""]


def _names(process: Process) -> str:
    """Show the names in order of time, one that follows itself once."""
    names: list[str] = []
    for one in process.names:
        if names[-1:] != [one.name]:
            names.append(one.name)
    return " → ".join(plain(name) for name in names)


def _records(quality: Quality) -> Text:
    """Count the records by what they say, in the order of a request's life."""
    if set(quality.events) == {ROW_EVENT}:
        return Text(f"{count_text(quality.records, 'row')}, each a request")
    order = list(_EVENTS)
    ranked = sorted(
        quality.events.items(),
        key=lambda one: (order.index(one[0]) if one[0] in _EVENTS else 99, one[0]),
    )
    parts = [
        f"{count:,} {_EVENTS[name]} ({name})"
        if name in _EVENTS
        else f"{count:,} {plain(name)}"
        for name, count in ranked
    ]
    parts += [
        count_text(count, _NOTES.get(kind, kind))
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
