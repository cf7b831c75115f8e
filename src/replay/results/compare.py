"""What differs between two results: who pays more, who waits longer, who dies.

Pure: tables in, tables out. Only rows that differ are kept; what one result does not
have counts as zero.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from replay.results.read import open_results
from replay.results.result import Result
from replay.results.sums import sums, with_io_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType

KILL_COLUMNS = ("task", "victim_cgroup", "limit_cgroup")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How another result differs from a base.

    Attributes
    ----------
    names : tuple of two str
        What base and other are called.
    base, other : dict
        Their ``run.json``.
    scenario : dict of str to (value, value)
        Keys of the effective scenario that differ; None where one has no such key.
    tables : dict of str to pyarrow.Table
        ``charges`` (by issuer and payer), ``memory`` (by cgroup), ``latency`` (by
        cgroup and stage), ``interference`` (by waiting and blocking cgroup): for each
        value ``NAME_base``, ``NAME_other`` and ``NAME_diff`` (other - base), largest
        difference first. ``kills``: those that happened in one of them only, with
        ``only_in``.
    """

    names: tuple[str, str]
    base: dict[str, Any]
    other: dict[str, Any]
    scenario: dict[str, tuple[Any, Any]]
    tables: dict[str, pa.Table]

    @property
    def same_trace(self) -> bool:
        """Whether both replayed the same trace."""
        return bool(self.base["trace"]["sha256"] == self.other["trace"]["sha256"])

    def to_json(self) -> str:
        """Say all of it in JSON.

        Returns
        -------
        str
            ``{"base", "other", "same_trace", "scenario", "tables"}``.
        """
        value = {
            "base": self.names[0],
            "other": self.names[1],
            "same_trace": self.same_trace,
            "scenario": {
                key: {"base": base, "other": other}
                for key, (base, other) in self.scenario.items()
            },
            "tables": {name: table.to_pylist() for name, table in self.tables.items()},
        }
        return json.dumps(value, ensure_ascii=False)

    def __rich__(self) -> "RenderableType":
        """Let rich show the largest differences."""
        from replay.report.compare import comparison

        return comparison(self)


def compare(
    base: Result, other: Result, *, names: tuple[str, str] = ("base", "other")
) -> Comparison:
    """Find what differs between two results.

    Parameters
    ----------
    base, other : Result
        Of the same trace, if the difference is to mean something.
    names : tuple of two str
        What to call them, for example the directories that they were read from.

    Returns
    -------
    Comparison
    """
    charges = ("io_bytes", "charged_bytes", "refused_bytes")
    memory = ("own_file", "peak", "oom_kill")
    latency = ("mean_ns", "count")
    interference = ("wait_ns", "count")
    return Comparison(
        names,
        base.info,
        other.info,
        _scenario(base.info["scenario"], other.info["scenario"]),
        {
            "charges": difference(
                _charges(base), _charges(other), ("issuer", "payer"), charges
            ),
            "memory": difference(base.memory, other.memory, ("cgroup",), memory),
            "latency": difference(
                _latency(base), _latency(other), ("cgroup", "stage"), latency
            ),
            "interference": difference(
                base.interference,
                other.interference,
                ("waiting", "blocking", "resource"),
                interference,
            ),
            "kills": _kills(base.kills, other.kills),
        },
    )


def compare_stored(outdirs: Sequence[str | Path]) -> list[Comparison]:
    """Find what differs between stored results.

    Parameters
    ----------
    outdirs : sequence of str or Path
        Result directories; each is compared with the first.

    Returns
    -------
    list of Comparison
        One less than there are directories.

    Raises
    ------
    OutputError
        One of them is no result.
    """
    base, *others = ((str(outdir), open_results(outdir)) for outdir in outdirs)
    return [compare(base[1], other, names=(base[0], name)) for name, other in others]


def difference(
    base: pa.Table, other: pa.Table, keys: Sequence[str], values: Sequence[str]
) -> pa.Table:
    """Lay two tables side by side and keep the rows that differ.

    Parameters
    ----------
    base, other : pyarrow.Table
        With the columns ``keys`` and ``values``; keys are unique in each.
    keys : sequence of str
        What tells rows apart.
    values : sequence of str
        Columns of numbers; a row that one table does not have counts as zero.

    Returns
    -------
    pyarrow.Table
        The keys; ``V_base``, ``V_other``, ``V_diff`` for each value V. Sorted by the
        first value's difference, largest size first, then by keys.
    """
    sides = [
        table.select([*keys, *values]).rename_columns(
            [*keys, *(f"{value}_{side}" for value in values)]
        )
        for table, side in ((base, "base"), (other, "other"))
    ]
    joined = sides[0].join(sides[1], list(keys), join_type="full outer")
    columns = {key: joined[key] for key in keys}
    differs = pa.chunked_array([pa.repeat(False, joined.num_rows)])
    for value in values:
        before, after = (
            pc.fill_null(joined[f"{value}_{side}"], 0) for side in ("base", "other")
        )
        change = pc.subtract(after, before)
        columns |= {f"{value}_base": before, f"{value}_other": after}
        columns[f"{value}_diff"] = change
        differs = pc.or_(differs, pc.not_equal(change, 0))
    size = pc.abs(columns[f"{values[0]}_diff"])
    table = pa.table({**columns, "size": size}).filter(differs)
    order = [("size", "descending"), *((key, "ascending") for key in keys)]
    return table.sort_by(order).drop_columns("size")


def _charges(result: Result) -> pa.Table:
    values = ("io_bytes", "charged_bytes", "refused_bytes")
    return sums(with_io_bytes(result.charges), ("issuer", "payer"), values)


def _latency(result: Result) -> pa.Table:
    """Mean over devices and operations."""
    summed = sums(result.latency, ("cgroup", "stage"), ("sum_ns", "count"))
    mean = pc.divide(summed["sum_ns"], pc.max_element_wise(summed["count"], 1))
    return summed.append_column("mean_ns", mean)


def _kills(base: pa.Table, other: pa.Table) -> pa.Table:
    """Keep the kills without a counterpart: same task, cgroup and limit, any time."""
    only = [
        table.append_column(
            "only_in", pa.array([side] * table.num_rows, pa.string())
        ).filter(pa.array(_unmatched(table, against), pa.bool_()))
        for table, against, side in ((base, other, "base"), (other, base, "other"))
    ]
    return pa.concat_tables(table.replace_schema_metadata(None) for table in only)


def _unmatched(table: pa.Table, against: pa.Table) -> Iterator[bool]:
    def who(kills: pa.Table) -> list[tuple[str, ...]]:
        return [tuple(row.values()) for row in kills.select(KILL_COLUMNS).to_pylist()]

    left = Counter(who(against))
    for kill in who(table):
        left[kill] -= 1
        yield left[kill] < 0


def _scenario(
    base: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    flat_base, flat_other = dict(_flat(base)), dict(_flat(other))
    keys = sorted(flat_base.keys() | flat_other.keys())
    pairs = {key: (flat_base.get(key), flat_other.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``driver.policy`` and the like; lists stay whole."""
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner
