"""Two results side by side: the largest differences, answers first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import count_text, errno_text, moment_text, size_text, time_text
from replay.report.facts import TOP_CGROUPS, Row
from replay.report.limits import limit_name
from replay.report.text import indented
from replay.results.compare import Breach, Comparison
from replay.results.conditions import Condition
from replay.results.measures import BYTES, NS, Measure
from replay.scenario.keys.load import Scenario


def comparison(found: Comparison) -> RenderableType:
    """Say who pays more, who waits longer and who is killed in one result only.

    Parameters
    ----------
    found : Comparison
        What differs.

    Returns
    -------
    RenderableType
        Readable at 80 columns; the 20 largest differences of each kind.
    """
    tables = found.tables
    latency = tables["latency"]
    total = latency.filter(pc.equal(latency["stage"], "total"))
    waits = tables["interference"]
    others = waits.filter(pc.not_equal(waits["waiting"], waits["blocking"]))
    parts = [
        *_scenario(found),
        *_section("Who pays", tables["charges"], _pays, "io_bytes", size_text),
        *_section("Memory at end", tables["memory"], _cgroup, "own_file", size_text),
        *_section("Mean latency", total, _cgroup, "mean_ns", time_text),
        *_section("99th percentile", total, _cgroup, "p99_ns", time_text),
        *_section("Who waits behind whom", others, _waits, "wait_ns", time_text),
        *_shares(found),
        *_section("What fails", tables["errors"], _fails, "count", count_text),
        *_kills(tables["kills"]),
    ]
    if not any(table.num_rows for table in tables.values()):
        parts.append(Text("The tables do not differ."))
    return Group(*_title(found), *parts, *_told(found))


def breach_text(breach: Breach) -> str:
    """Say what grew or fell by more than is allowed, in one line."""
    condition = breach.condition
    said = _change_text(condition, breach.base, breach.other)
    name = condition.measure.name
    return plain(f"failed: {name} of {breach.cgroup} {said}; {_allowed(condition)}")


def passed_texts(
    found: Comparison, conditions: Sequence[Condition], breaches: Sequence[Breach]
) -> list[str]:
    """Say of the conditions that no change met how near one came, in a line each.

    Parameters
    ----------
    found : Comparison
    conditions : sequence of Condition
    breaches : sequence of Breach
        Of `Comparison.breaches` of these.

    Returns
    -------
    list of str
        A condition on times for which no cgroup has requests in both results was not
        looked at, and its line says so.
    """
    met = {breach.condition.text for breach in breaches}
    rows = found.measures.to_pylist()
    return [
        plain(_passed_text(one, [row for row in rows if one.looks_at(row)]))
        for one in conditions
        if one.text not in met
    ]


def _passed_text(condition: Condition, rows: Sequence[Row]) -> str:
    """Say how far the measure of the cgroup that comes nearest has changed."""
    if not rows:
        whose = condition.cgroup or "no cgroup"
        has = "does not have requests" if condition.cgroup else "has requests"
        return f"nothing to compare for {_asked(condition)}: {whose} {has} in both"
    column, name = condition.measure.column, condition.measure.name
    sign = 1 if condition.how == ">" else -1

    def step(row: Row) -> float:
        base, other = row[f"{column}_base"], row[f"{column}_other"]
        # what grew from 0 has met a condition on shares
        return float(sign * (other - base) / ((base or 1) if condition.relative else 1))

    nearest = max(rows, key=step)
    word, done = ("grew", "grown") if sign > 0 else ("fell", "fallen")
    if step(nearest) > 0:
        of = condition.cgroup or f"{nearest['cgroup']}, which changes most,"
        base, other = nearest[f"{column}_base"], nearest[f"{column}_other"]
        said = f"{name} of {of} {_change_text(condition, base, other)}"
    elif condition.cgroup:
        said = f"{name} of {condition.cgroup} has not {done}"
    else:
        said = f"{name} {word} in no cgroup"
    return f"passed: {said}; {_allowed(condition)}"


def _asked(condition: Condition) -> str:
    return f"--fail-if '{condition.text}'"


def _allowed(condition: Condition) -> str:
    """Say the change up to which a condition is not met."""
    if not condition.value:
        allowed = "none"
    elif condition.relative:
        allowed = f"{float(abs(condition.value) * 100):g} %"
    else:
        allowed = measure_text(condition.measure, round(abs(condition.value)))
    return f"{_asked(condition)} allows {allowed}"


def _change_text(condition: Condition, base: int, other: int) -> str:
    """Say by how much a measure changed, as the condition counts it."""
    measure = condition.measure
    texts = measure_text(measure, base), measure_text(measure, other)
    word = "grew" if condition.how == ">" else "fell"
    if not condition.relative:
        change = measure_text(measure, abs(other - base))
    elif base:
        change = f"{100 * abs(other - base) / base:.1f} %"
    else:
        return f"{word} from {texts[0]} to {texts[1]}"
    return f"{word} by {change} ({texts[0]} -> {texts[1]})"


def measure_text(measure: Measure, value: int) -> str:
    """Show a measure's value."""
    if measure.unit == NS:
        return time_text(value)
    return size_text(value) if measure.unit == BYTES else count_text(value)


def _title(found: Comparison) -> Iterable[RenderableType]:
    for side, name in zip(("base", "other"), found.names, strict=True):
        if name != side:
            yield Text(plain(f"{side}: {name}"))
    for note in found.notes:
        yield Text(plain(note))
    if not found.same_trace:
        yield Text("These are results of different traces.", style="bold")


def _scenario(found: Comparison) -> Iterable[RenderableType]:
    if not found.scenario:
        return
    yield _heading("Scenario")
    n_defaults = 0
    for key, (base, other) in found.scenario.items():
        # a cgroup of one of them only: what it has by default changes nothing
        if None in (base, other) and _is_default(key, other if base is None else base):
            n_defaults += 1
            continue
        yield indented(f"{key}: {_value(base)} -> {_value(other)}")
    if n_defaults:
        keys = count_text(n_defaults, "key")
        yield indented(f"and {keys} of cgroups that one has only, by default the same")


def _shares(found: Comparison) -> Iterable[RenderableType]:
    """Tell what each cgroup had of the device while all of them wanted more."""
    sides = [{row["cgroup"]: row for row in rows} for rows in found.shares]
    if not any(sides):
        return
    yield _heading("Shares of the device while all want more")
    for name in sorted({*sides[0], *sides[1]}):
        parts = []
        for measure in ("bytes", "requests"):
            base, other = (_share(rows, name, measure) for rows in sides)
            parts.append(f"{base} -> {other} of the {measure}")
        yield indented(f"{name}: {', '.join(parts)}")


def _share(rows: Mapping[str, Row], name: str, measure: str) -> str:
    if name not in rows:
        return "-"
    whole = sum(row[measure] for row in rows.values())
    return f"{100 * rows[name][measure] / max(whole, 1):.0f} %"


def _is_default(key: str, value: Any) -> bool:
    """Return True if a cgroup's key has the value that it has if nothing is said."""
    if not key.startswith("cgroups."):
        return False
    # "recorded.memory.max" is no "memory.max"
    for name in sorted(_cgroup_defaults(), key=len, reverse=True):
        if key.endswith(f".{name}"):
            return bool(value == _cgroup_defaults()[name])
    return False


@lru_cache(maxsize=1)
def _cgroup_defaults() -> dict[str, Any]:
    """Return what a scenario says of a cgroup of which nothing is said."""
    told: Any = Scenario.from_dict({"cgroups": {"/a": {}}}).effective()["cgroups"]
    return dict(told["/a"])


def _value(value: Any) -> str:
    return "not set" if value is None else str(value)


def _section(
    title: str,
    differences: pa.Table,
    who: Callable[[Row], str],
    value: str,
    show: Callable[[int], str],
) -> Iterable[RenderableType]:
    """Lay base, other and difference out; rows whose value is equal stay away."""
    ranked = differences.filter(pc.not_equal(differences[f"{value}_diff"], 0))
    if not ranked.num_rows:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")
    for name in ("base", "other", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in ranked.slice(0, TOP_CGROUPS).to_pylist():
        change = row[f"{value}_diff"]
        # a cgroup without requests has no times
        shown = [
            show(row[f"{value}_{side}"])
            if "stage" not in row or row[f"count_{side}"]
            else "-"
            for side in ("base", "other")
        ]
        sign = "+" if change > 0 else ""
        difference = "-" if "-" in shown else sign + show(change)
        table.add_row(Text(plain(who(row))), *shown, difference)
    yield _heading(title)
    yield Padding(table, (0, 0, 0, 2), expand=False)
    if ranked.num_rows > TOP_CGROUPS:
        yield indented(f"… and {count_text(ranked.num_rows - TOP_CGROUPS)} more")


def _pays(row: Row) -> str:
    payer, issuer = row["payer"], row["issuer"]
    return f"{payer} for {'itself' if payer == issuer else issuer}"


def _cgroup(row: Row) -> str:
    return str(row["cgroup"])


def _fails(row: Row) -> str:
    return f"{row['cgroup']}: {errno_text(row['errno'])}"


def _waits(row: Row) -> str:
    return f"{row['waiting']} behind {row['blocking']} ({row['resource']})"


def _kills(kills: pa.Table) -> Iterable[RenderableType]:
    if not kills.num_rows:
        return
    yield _heading("Killed in one only")
    for row in kills.slice(0, TOP_CGROUPS).to_pylist():
        trace = f"{row['trace']}: " if "trace" in row else ""
        yield indented(
            f"{row['only_in']}: {trace}{moment_text(row['time_ns'])} {row['task']} in "
            f"{row['victim_cgroup']}, {limit_name(row['limit_cgroup'])}"
        )
    if kills.num_rows > TOP_CGROUPS:
        yield indented(f"… and {count_text(kills.num_rows - TOP_CGROUPS)} more")


def _told(found: Comparison) -> Iterable[RenderableType]:
    """Say what the runs told of themselves, and which of them did."""
    both = [note for note in found.told[0] if note in found.told[1]]
    lines = list(both)
    for side, told in zip(("base", "other"), found.told, strict=True):
        lines += [f"{side}: {note}" for note in told if note not in both]
    if lines:
        yield _heading("Estimates and losses")
        yield from map(indented, lines)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")
