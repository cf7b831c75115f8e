"""The summary of one result: answers first, then the cgroups one by one."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import (
    count_text,
    errno_text,
    moment_text,
    share_text,
    size_text,
    time_text,
)
from replay.report.facts import (
    TOP_CGROUPS,
    CgroupFacts,
    Paid,
    Row,
    SummaryFacts,
    Top,
    Waited,
    facts,
)
from replay.report.limits import limit_name, limit_value
from replay.report.quality import heavy_losses, quality_failed
from replay.report.shares import debt_lines, shares_table
from replay.report.text import indented
from replay.report.timeline import timeline_line
from replay.report.workers import worker_lines
from replay.results.kinds import MOST_SUMMED
from replay.results.result import Result
from replay.trace.file.metadata import NO_COMPLETIONS, ROW_EVENT, Quality

#: Processes whose dependence is shown; run.json has more.
TOP_PROCESSES = 5
#: Losses that make a result less sure, in the words of the trace's quality.
_LOSSES = (
    ("refused_bytes", "byte", "refused"),
    ("truncated_bytes", "byte", "cut off"),
    ("out_of_order", "event", "out of order"),
    ("unfinished", "request", "without a completion"),
    ("late_completions", "completion", "too late"),
)
OWN_IO = "every cgroup paid for its own I/O"
#: A write of the file system's journal or metadata failed.
READ_ONLY = "What was stopped: the journal failed, so the file system is read-only"
#: Counts whose sum is all rows.
_ROWS = ("requests", "stopped", "read_only", "unissued")
OTHERS = "nobody waited for another"
#: What became of requests that were not completed as recorded.
_FATES = (
    ("failed", "failed"),
    ("stopped", "stopped by a kill"),
    ("read_only", "stopped by a read-only file system"),
    ("in_flight", "in flight at the end"),
    ("unissued", "never issued"),
    ("unfinished", "without a recorded completion"),
)


def summary(result: Result) -> RenderableType:
    """Say who paid for whom, who waited behind whom and who was killed.

    Parameters
    ----------
    result : Result
        What a replay found.

    Returns
    -------
    RenderableType
        Readable at 80 columns. The first 20 cgroups by I/O, and how many more.
    """
    found = facts(result)
    if not result.info["trace"]["rows"]:
        nothing = Text(
            "\nNothing was replayed, so there is nothing to tell; 'replay info' says "
            "what is in the trace."
        )
        lost = _incomplete(result.info)
        return Group(_title(result.info), *lost, nothing, *_notes(result.info))
    untimed = _untimed(result.info)
    return Group(
        _title(result.info),
        *_incomplete(result.info),
        *([Text(f"\n{untimed}")] if untimed else []),
        *_answers(
            found,
            result.info["scenario"],
            timed=not untimed,
            failed=bool(result.info["quality"].get("errors")),
        ),
        *_lines("Workers of the driver", worker_lines(result)),
        *_lines("Debts", debt_lines(result)),
        *_assigned(result.info.get("assign")),
        *_dependence(result.info.get("dependence")),
        *_cgroups(found.cgroups, timed=not untimed),
        *_kinds(result),
        *shares_table(result),
        *_timeline(result),
        *_notes(result.info),
    )


def _title(info: dict[str, Any]) -> Text:
    counts, trace = info["counts"], info["trace"]
    rows = sum(counts.get(name, 0) for name in _ROWS)
    requests = count_text(rows, "request")
    if rows != counts["requests"]:
        requests = f"{count_text(counts['requests'])} of {requests}"
    fates = ", ".join(
        f"{count_text(counts[name])} {text}"
        for name, text in _FATES
        if counts.get(name)
    )
    devices = ", ".join(trace["devices"][:4]) or "no device"
    if devices == "all":
        devices = "all devices as one" if rows else "no device"
    line = f"{requests} of {devices}"
    if len(trace["devices"]) > 4:
        line += f" and {len(trace['devices']) - 4} more devices"
    line += _recorded(trace)
    lasted = _lasted(info)
    if rows and lasted != time_text(trace["span_ns"]):
        line += f", {lasted} in the model"
    driver = info["scenario"].get("driver")
    if isinstance(driver, dict) and "policy" in driver:
        line += f", driver.policy = {driver['policy']}"
    arrivals = info["scenario"].get("arrivals")
    if isinstance(arrivals, dict) and "mode" in arrivals:
        line += f", arrivals.mode = {arrivals['mode']}"
    return Text(plain(line + (f"; {fates}" if fates else "")))


def _recorded(trace: dict[str, Any]) -> str:
    """Tell of what time the requests are."""
    span = time_text(trace["span_ns"])
    if trace.get("window_ns") is None:
        return f" recorded in {span}"
    begin, end = trace["window_ns"]
    until = "its end" if end is None else moment_text(end)
    return f" recorded from {moment_text(begin)} to {until} of {span}"


def _lasted(info: dict[str, Any]) -> str:
    """Tell until when the model's requests took, from the trace's start on.

    A recording goes on where requests of it are left out: then a shorter time is none.
    """
    span_ns = info["trace"]["span_ns"]
    end_ns = info["counts"].get("end_ns", span_ns)
    left_out = info["counts"].get("other_devices") or info["quality"].get("filtered")
    return time_text(span_ns if left_out and end_ns < span_ns else end_ns)


def _incomplete(info: dict[str, Any]) -> Iterable[RenderableType]:
    """Tell beside the headline what the trace lacks so much of that answers depend."""
    n_bytes = sum(
        one["nbytes"] for one in info["trace"]["sources"] if one["role"] == "trace"
    )
    quality = msgspec.convert(info["quality"], Quality)
    heavy = heavy_losses(quality, info["trace"]["rows"], n_bytes)
    if heavy is not None:
        yield Text(heavy, "bold yellow")


def _untimed(info: dict[str, Any]) -> str | None:
    """Say why nothing has a latency, and what can be asked all the same."""
    if not info["counts"].get("unfinished"):
        return None
    model = info["scenario"].get("service")
    if not isinstance(model, dict) or model.get("model") != "recorded":
        return None
    quality = msgspec.convert(info["quality"], Quality)
    if ROW_EVENT not in quality.events:
        if quality.events.get("C"):
            return None
        why = "No completion (C) is in the recording"
        mend = "record C events as well, or "
    else:
        # of rows of which some say it the others are counted
        if quality.unfinished:
            return None
        why = "The trace has no response times"
        mend = ""
        if info["trace"].get("format") == "csv":
            mend = "name their column if there is one (response=COLUMN:UNIT), or "
    return (
        f"{why}: latency and who waits for whom are not known, only who issues and who "
        f"pays. To know more {mend}give the device's times: --set "
        "service.model=linear ([service]; 'replay calibrate' fits them to a trace that "
        "has some)."
    )


def _answers(
    found: SummaryFacts, scenario: Mapping[str, Any], *, timed: bool, failed: bool
) -> Iterable[RenderableType]:
    """Tell what happened; what did not, in one line.

    ``failed``: some requests failed when they were recorded.
    """
    killed = partial(_killed, scenario)
    nothing = []
    in_model = " in the model" if failed else ""
    alone = [one.name for one in found.cgroups.items] == ["/"]
    # with one cgroup there is nobody to pay for, or to wait for
    own = "every request is the root's (/), and so is what is paid"
    waited = OTHERS if timed and not alone else ""
    sections: list[tuple[str, Top[Any], Any, str]] = [
        ("Who paid for whom", found.paid, _paid, own if alone else OWN_IO),
        ("Who waited behind whom", found.waited, _waited, waited),
        ("Who was killed", found.kills, killed, "nobody was killed"),
        ("What failed", found.errors, _failed, "no request failed" + in_model),
        (READ_ONLY, found.stopped, _failed, ""),
    ]
    for title, top, line, otherwise in sections:
        if not top.items:
            nothing += [otherwise] if otherwise else []
            continue
        yield _heading(title)
        for item in top.items:
            yield indented(line(item))
        if top.n_more:
            yield indented(f"… and {count_text(top.n_more)} more")
    if nothing:
        text = "; ".join(nothing)
        yield Text("")
        yield Text(f"{text[0].upper()}{text[1:]}.")


def _paid(paid: Paid) -> str:
    parts = []
    if paid.io_bytes:
        share = share_text(paid.io_bytes, paid.issued_bytes)
        parts.append(f"{size_text(paid.io_bytes)} of I/O ({share})")
    if paid.memory_bytes:
        parts.append(f"{size_text(paid.memory_bytes)} of memory charged")
    return f"{paid.payer} paid for {paid.issuer}: {', '.join(parts)}"


def _waited(waited: Waited) -> str:
    return (
        f"{waited.waiting} behind {waited.blocking}: {time_text(waited.wait_ns)} "
        f"in {count_text(waited.count, 'wait')} for the {waited.resource}"
    )


def _killed(scenario: Mapping[str, Any], kill: Row) -> str:
    who = f"{kill['task']} in {kill['victim_cgroup']}"
    limit = limit_name(kill["limit_cgroup"])
    value = limit_value(scenario, kill["limit_cgroup"])
    # a scenario that is not kept lacks it
    met = f"{limit} = {value}" if value else limit
    return f"{moment_text(kill['time_ns'])} {who} killed: {met}"


def _failed(error: Row) -> str:
    return (
        f"{error['cgroup']}: {count_text(error['count'], 'request')}, "
        f"{size_text(error['bytes'])}, {errno_text(error['errno'])}, "
        f"first at {moment_text(error['first_ns'])}"
    )


def _dependence(found: dict[str, Any] | None) -> Iterable[RenderableType]:
    """Tell what arrivals were taken to wait for."""
    if found is None or not found["processes"]:
        return
    yield _heading(
        "What arrivals depend on: the process's requests in flight, then its own time"
    )
    for one in found["processes"][:TOP_PROCESSES]:
        name = f"{one['process']} ({one['pid']})" if one["process"] else one["pid"]
        yield indented(
            plain(
                f"{name} on {one['device']}: {count_text(one['requests'], 'request')}, "
                f"at most {one['depth']:,} at once, {time_text(one['think_mean_ns'])} "
                "of its own before each"
            )
        )
    more = len(found["processes"]) - TOP_PROCESSES + found["left_out"]
    if more > 0:
        yield indented(f"… and {count_text(more)} more: see run.json")


def _assigned(assign: dict[str, Any] | None) -> Iterable[RenderableType]:
    """Tell how much each rule of [[assign]] caught, and what none did."""
    if assign is None:
        return
    rules = assign["rules"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("rule", overflow="fold", min_width=8)
    table.add_column("cgroup", overflow="fold", min_width=8)
    table.add_column("requests", justify="right", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    rows = [(_rule(rule), rule["cgroup"], rule) for rule in rules[:TOP_CGROUPS]]
    rows.append(("no rule", "/", assign["root"]))
    if assign["kept"]["requests"]:
        rows.append(("no rule", "as recorded", assign["kept"]))
    for rule, cgroup, count in rows:
        table.add_row(
            Text(plain(rule)),
            Text(plain(cgroup)),
            count_text(count["requests"]),
            size_text(count["bytes"]),
        )
    yield _heading("What the rules of [[assign]] caught")
    yield Padding(table, (0, 0, 0, 2), expand=False)
    if len(rules) > TOP_CGROUPS:
        yield indented(f"… and {count_text(len(rules) - TOP_CGROUPS, 'more rule')}")


def _rule(rule: dict[str, Any]) -> str:
    conditions = [
        f"{name} {rule[name]}"
        for name in ("pid", "comm", "device", "volume")
        if rule[name] is not None
    ]
    return ", ".join(conditions) or "everything else"


def _cgroups(top: Top[CgroupFacts], *, timed: bool) -> Iterable[RenderableType]:
    if not top.items:
        return
    discards = any(cgroup.issued["dbytes"] for cgroup in top.items)
    # requests are counted when they are done
    charged = _table("cgroup", "requests" if timed else "ios", "read", "written")
    if discards:
        charged.add_column("discarded", justify="right", no_wrap=True)
    charged.add_column("paid by", overflow="fold")
    charged.add_column("mem at end", justify="right", no_wrap=True)
    times = _table("cgroup", "mean", "p99")
    times.add_column("spent in", no_wrap=True)
    times.add_column("waited behind", overflow="fold")
    for cgroup in top.items:
        name, issued = plain(cgroup.name), cgroup.issued
        charged.add_row(
            Text(name),
            count_text(cgroup.requests) if timed else _ios(issued),
            size_text(issued["rbytes"]),
            size_text(issued["wbytes"]),
            *([size_text(issued["dbytes"])] if discards else []),
            _shares(cgroup.payers, cgroup.name),
            size_text(cgroup.memory_bytes),
        )
        if cgroup.mean_ns is not None and cgroup.p99_ns is not None:
            times.add_row(
                Text(name),
                time_text(cgroup.mean_ns),
                time_text(cgroup.p99_ns),
                _shares(cgroup.stages[:1], "", sum(ns for _, ns in cgroup.stages)),
                _shares(
                    cgroup.behind[:1], cgroup.name, sum(ns for _, ns in cgroup.behind)
                ),
            )
    yield _heading("cgroups by I/O")
    yield Padding(charged, (0, 0, 0, 2), expand=False)
    if top.n_more:
        yield indented(f"… and {count_text(top.n_more)} more")
    if times.row_count:
        yield _heading("Latency of their requests")
        yield Padding(times, (0, 0, 0, 2), expand=False)
        if top.n_more:
            yield indented(f"… and {count_text(top.n_more)} more")


def _kinds(result: Result) -> Iterable[RenderableType]:
    """List what requests were for, if a file system on the device tells."""
    if result.info["counts"]["requests"] > MOST_SUMMED:
        return
    rows = result.by_kind()
    if rows is None or {row["kind"] for row in rows} <= {"data"}:
        return
    table = _table("cgroup")
    table.add_column("kind", no_wrap=True)
    for name in ("requests", "bytes", "failed", "mean", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("paid by", overflow="fold")
    for row in rows[:TOP_CGROUPS]:
        timed = row["mean_ns"] is not None
        table.add_row(
            Text(plain(row["issuer"])),
            row["kind"],
            count_text(row["requests"]),
            size_text(row["bytes"]),
            count_text(row["failed"]),
            time_text(row["mean_ns"]) if timed else "-",
            time_text(row["p99_ns"]) if timed else "-",
            _shares([(row["payer"], 1)], row["issuer"]),
        )
    yield _heading("What requests were for")
    yield Padding(table, (0, 0, 0, 2), expand=False)
    if len(rows) > TOP_CGROUPS:
        yield indented(f"… and {count_text(len(rows) - TOP_CGROUPS)} more")


def _lines(title: str, lines: Iterable[str]) -> Iterable[RenderableType]:
    """Show lines below a title; nothing if there is none."""
    found = [*lines]
    if found:
        yield _heading(title)
        yield from map(indented, found)


def _ios(issued: dict[str, int]) -> str:
    """Show the bios; nothing where they were not recorded."""
    ios = sum(issued[name] for name in ("rios", "wios", "dios"))
    return count_text(ios) if ios else "-"


def _shares(ranked: list[tuple[str, int]], me: str, whole: int | None = None) -> Text:
    """Show the first two of a ranking with their shares; alone, without."""
    if whole is None:
        whole = sum(value for _, value in ranked)
    parts = []
    for name, value in ranked[:2]:
        shown = "itself" if name == me else plain(name)
        alone = value == whole and len(ranked) == 1
        if value or alone:
            parts.append(shown if alone else f"{shown} {share_text(value, whole)}")
    if len(ranked) > 2:
        parts.append(f"+{len(ranked) - 2}")
    return Text(", ".join(parts) or "-")


def _table(*columns: str) -> Table:
    """Make a table of names and numbers; names fold, numbers are never cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    first, *numbers = columns
    table.add_column(first, overflow="fold", min_width=8)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _timeline(result: Result) -> Iterable[RenderableType]:
    line = timeline_line(result)
    if line is not None:
        yield _heading("Timeline")
        yield indented(line)


def _notes(info: dict[str, Any]) -> Iterable[RenderableType]:
    # what is told beside the headline, or has been given
    told = [note for note in info["notes"] if NO_COMPLETIONS not in note]
    notes = [*_layered(info["trace"]), *_losses(info["quality"]), *told]
    if notes:
        yield _heading("Estimates and losses")
        for note in notes:
            yield indented(note)


def _layered(trace: dict[str, Any]) -> list[str]:
    """Tell of devices that were replayed together with those they lie on."""
    replayed = trace["devices"]
    pairs = [
        f"{upper} on {lower}"
        for upper, lower in trace.get("layers", [])
        if {upper, lower} <= set(replayed)
    ]
    if not pairs:
        return []
    return [
        f"{', '.join(pairs)}: each I/O is there once a layer and was replayed as "
        "often: choose one layer by --device"
    ]


def _losses(quality: dict[str, Any]) -> list[str]:
    failed = quality_failed(msgspec.convert(quality, Quality))
    found = [(quality.get(name, 0), noun, text) for name, noun, text in _LOSSES]
    found += [
        (sum(quality.get(name, {}).values()), "event", name)
        for name in ("lost", "unmatched")
    ]
    if ROW_EVENT in quality.get("events", {}):
        # a table's rows are put in order: nothing is lost
        found = [one for one in found if one[2] != "out of order"]
    said = [f"{count_text(n, noun)} {text}" for n, noun, text in found if n]
    return [*failed, *([f"trace: {', '.join(said)}"] if said else [])]
