"""Differences between scenarios of a dataset, over all its traces.

Counters are added up and latencies' histograms merged before anything is compared: a
fleet's p99 is that of all its requests. Only traces that were replayed under both
scenarios count, so that nothing but the scenario differs.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from replay.common.errors import OutputError
from replay.common.text import count_text
from replay.dataset.rows import OK, RUNS
from replay.results.compare import (
    ComparedSide,
    Comparison,
    compare_sides,
    scenario_differences,
)
from replay.results.merge import SUMMED, merge_latency, merge_table
from replay.results.schema import TABLES

if TYPE_CHECKING:
    from replay.dataset.read import Dataset

#: In place of a value of the scenario that is not the same for all traces.
VARIES: Final = "differs between traces"
#: Names that an error lists if none is near what was asked for.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """One replayed pair, or one that failed."""

    scenario: str
    failed: bool
    sha256: str
    effective: Mapping[str, Any]
    notes: tuple[str, ...]


def compare_scenarios(
    dataset: "Dataset", scenarios: Sequence[str], *, traces: Sequence[str] = ()
) -> list[Comparison]:
    """Find what differs between scenarios, added up over traces.

    Parameters
    ----------
    dataset : Dataset
    scenarios : sequence of str
        At least two, as the table ``runs`` names them; each is compared with the
        first. A pattern (``*:root``) may stand for another scenario for each trace.
    traces : sequence of str
        Names or patterns of the traces to take; none: all of them.

    Returns
    -------
    list of Comparison
        One less than there are scenarios. ``kills`` has a column ``trace`` more.

    Raises
    ------
    OutputError
        There is no such scenario or trace, a pattern stands for several scenarios of
        one trace, or two scenarios have no trace in common.
    """
    runs = dataset.table(RUNS).to_pylist()
    wanted = _wanted_traces(dataset, runs, traces)
    runs = [row for row in runs if row["trace"] in wanted]
    base, *others = (_pairs(dataset, runs, text) for text in scenarios)
    return [
        _compared(dataset, (scenarios[0], name), base, other)
        for name, other in zip(scenarios[1:], others, strict=True)
    ]


def _wanted_traces(
    dataset: "Dataset", runs: Iterable[Mapping[str, Any]], texts: Sequence[str]
) -> set[str]:
    names = {row["trace"] for row in runs}
    if not texts:
        return names
    return {name for text in texts for name in _named(dataset, "trace", text, names)}


def _named(dataset: "Dataset", kind: str, text: str, names: set[str]) -> set[str]:
    """Return what a name or a pattern stands for."""
    if text in names:
        return {text}
    found = {name for name in names if fnmatchcase(name, text)}
    if found:
        return found
    near = difflib.get_close_matches(text, sorted(names), n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        some = ", ".join(map(repr, sorted(names)[:_SHOWN])) or "none"
        more = len(names) - _SHOWN
        hint = f"there are {some}" + (f" and {more:,} more" if more > 0 else "")
    raise OutputError(f"{dataset.root.text}: no {kind} {text!r}: {hint}")


def _pairs(
    dataset: "Dataset", runs: Iterable[Mapping[str, Any]], text: str
) -> dict[str, _Pair]:
    """Return the pairs of a scenario, or of a pattern, by trace."""
    rows = list(runs)
    names = _named(dataset, "scenario", text, {row["scenario"] for row in rows})
    pairs: dict[str, _Pair] = {}
    for row in rows:
        if row["scenario"] not in names:
            continue
        before = pairs.get(row["trace"])
        if before is not None:
            raise OutputError(
                f"{dataset.root.text}: {text!r} stands for {before.scenario!r} and "
                f"{row['scenario']!r} of the trace {row['trace']!r}: name one of them"
            )
        failed = row["status"] != OK
        pairs[row["trace"]] = _Pair(
            scenario=row["scenario"],
            failed=failed,
            sha256="" if failed else row["trace_sha256"],
            effective={} if failed else json.loads(row["run"])["scenario"],
            notes=tuple(row["notes"] or ()),
        )
    return pairs


def _compared(
    dataset: "Dataset",
    names: tuple[str, str],
    base: Mapping[str, _Pair],
    other: Mapping[str, _Pair],
) -> Comparison:
    both = [trace for trace in base if trace in other]
    taken = [one for one in both if not (base[one].failed or other[one].failed)]
    if not taken:
        raise OutputError(
            f"{dataset.root.text}: no trace was replayed under both {names[0]!r} and "
            f"{names[1]!r}: the table 'runs' lists the pairs"
        )
    found = compare_sides(
        *(
            ComparedSide(
                name=name,
                tables=_added_up(
                    dataset, [(one, pairs[one].scenario) for one in taken]
                ),
                scenario={},
                traces=frozenset(pairs[one].sha256 for one in taken),
                notes=noted((pairs[one].notes for one in taken), len(taken)),
            )
            for name, pairs in zip(names, (base, other), strict=True)
        )
    )
    notes = [f"{count_text(len(taken), 'trace')}, added up"]
    n_failed = len(both) - len(taken)
    if n_failed:
        notes.append(f"{count_text(n_failed, 'trace')} left out: failed under either")
    n_alone = len(base) + len(other) - 2 * len(both)
    if n_alone:
        notes.append(f"{count_text(n_alone, 'trace')} left out: of one scenario only")
    scenario = _scenario((base[one].effective, other[one].effective) for one in taken)
    return replace(found, scenario=scenario, notes=tuple(notes))


def noted(told: Iterable[Sequence[str]], n_traces: int) -> tuple[str, ...]:
    """Return what runs told of themselves, once each, and how many did."""
    counts = Counter(note for notes in told for note in dict.fromkeys(notes))
    return tuple(
        note if n == n_traces else f"{note} ({n:,} of {count_text(n_traces, 'trace')})"
        for note, n in counts.items()
    )


def _scenario(
    pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> dict[str, tuple[Any, Any]]:
    """Return the keys that differ for any trace, with the values if all have them."""
    found: dict[str, tuple[Any, Any]] = {}
    n_having: dict[str, int] = {}
    n_pairs = 0
    for base, other in pairs:
        n_pairs += 1
        for key, pair in scenario_differences(base, other).items():
            n_having[key] = n_having.get(key, 0) + 1
            before = found.setdefault(key, pair)
            if before != pair:
                found[key] = (
                    before[0] if before[0] == pair[0] else VARIES,
                    before[1] if before[1] == pair[1] else VARIES,
                )
    return {
        key: found[key] if n_having[key] == n_pairs else (VARIES, VARIES)
        for key in sorted(found)
    }


def _added_up(
    dataset: "Dataset", pairs: Sequence[tuple[str, str]]
) -> dict[str, pa.Table]:
    """Merge the tables of pairs; kills one after the other, with their trace."""
    traces = pa.array(sorted({trace for trace, _ in pairs}), pa.string())
    scenarios = pa.array(sorted({scenario for _, scenario in pairs}), pa.string())
    chosen = pc.field("trace").isin(traces) & pc.field("scenario").isin(scenarios)

    def read(name: str, *more: str) -> pa.Table:
        columns = [*more, *TABLES[name].schema.names]
        return dataset.scan(name, columns=columns, chosen=chosen)

    histograms = read("histograms")
    merged = {
        name: merge_table(name, histograms if name == "histograms" else read(name))
        for name in SUMMED
    }
    merged["latency"] = merge_latency(read("latency"), histograms)
    merged["kills"] = read("kills", "trace")
    return merged
