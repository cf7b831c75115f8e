"""Differences between two results: charges, waits, kills.

Pure: tables in, tables out. Only rows that differ are kept; what one result does not
have counts as zero.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from replay.common.errors import OutputError
from replay.common.shown import Shown
from replay.common.text import json_text
from replay.common.version import MODEL_VERSION
from replay.results.conditions import Condition, ConditionError
from replay.results.measures import MEASURES, measures
from replay.results.merge import merge_latency
from replay.results.read import open_results
from replay.results.result import Result
from replay.results.shares import shares_of
from replay.results.sums import sums, with_io_bytes

_Tables = Mapping[str, pa.Table]
KILL_COLUMNS = ("task", "victim_cgroup", "limit_cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSide:
    """One of the two that are compared.

    Attributes
    ----------
    name : str
        What to call it.
    tables : mapping of str to pyarrow.Table
        Of a result, or of several (`replay.merge`).
    scenario : mapping
        The effective scenario, as ``run.json`` has it.
    traces : frozenset of str
        Identities of the traces that were replayed.
    notes : tuple of str
        Estimates and what is not modelled, as the runs told them.
    shares : tuple of dict
        Of the device, by cgroup, while all want more (`replay.results.shares`).
    """

    name: str
    tables: Mapping[str, pa.Table]
    scenario: Mapping[str, Any]
    traces: frozenset[str]
    notes: tuple[str, ...] = ()
    shares: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, result: Result, name: str) -> "ComparedSide":
        """Make one of a result."""
        return cls(
            name=name,
            tables=result.tables,
            scenario=result.info["scenario"],
            traces=frozenset([result.info["trace"]["sha256"]]),
            notes=(*_of_its_model(result), *result.info["notes"]),
            shares=tuple(shares_of(result.tables, result.info)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A change that a condition asked for.

    Attributes
    ----------
    condition : Condition
    cgroup : str
        Whose measure changed so.
    base, other : int
        The measure's values.
    """

    condition: Condition
    cgroup: str
    base: int
    other: int


@dataclass(frozen=True, slots=True)
class Comparison(Shown):
    """Differences of another result from a base.

    Attributes
    ----------
    names : tuple of two str
        What base and other are called.
    same_trace : bool
        Whether both replayed the same.
    scenario : dict of str to (value, value)
        Keys of the effective scenario that differ; None where one has no such key.
    measures : pyarrow.Table
        Every cgroup of both, equal ones too: ``cgroup``, and for each of
        `replay.results.measures.MEASURES` ``NAME_base``, ``NAME_other`` and
        ``NAME_diff`` (other - base).
    tables : dict of str to pyarrow.Table
        ``charges`` (by issuer and payer), ``memory`` (by cgroup), ``latency`` (by
        cgroup and stage), ``interference`` (by waiting and blocking cgroup), ``errors``
        (by cgroup and errno): columns as those of ``measures``, largest difference
        first. ``kills``: those that happened in one of them only, with ``only_in``.
    notes : tuple of str
        Of sums of results: how many traces, and which are left out.
    told : tuple of (tuple of str, tuple of str)
        What the runs told of themselves, base and other: estimates, and what is not
        modelled.
    shares : tuple of (tuple of dict, tuple of dict)
        Of the device, by cgroup, while all want more, base and other; empty where no
        controller shares it, or without rows of requests.
    """

    names: tuple[str, str]
    same_trace: bool
    scenario: dict[str, tuple[Any, Any]]
    measures: pa.Table
    tables: dict[str, pa.Table]
    notes: tuple[str, ...] = ()
    told: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    shares: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = ((), ())

    def __repr__(self) -> str:
        return f"<Comparison of {self.names[1]} with {self.names[0]}>"

    def breaches(self, conditions: Iterable[Condition]) -> list[Breach]:
        """Find the changes that conditions ask for.

        Parameters
        ----------
        conditions : iterable of Condition
            From `replay.results.conditions.parse_change`.

        Returns
        -------
        list of Breach
            In the order of the conditions, then of the cgroups.

        Raises
        ------
        ConditionError
            A condition names a cgroup that neither result has.
        """
        rows = self.measures.to_pylist()
        found = []
        for condition in conditions:
            mine = [row for row in rows if condition.concerns(row["cgroup"])]
            if condition.cgroup is not None and not mine:
                raise ConditionError(
                    f"{condition.text!r}: no cgroup {condition.cgroup!r} in "
                    f"{self.names[0]} or {self.names[1]}"
                )
            column = condition.measure.column
            found += [
                Breach(
                    condition=condition,
                    cgroup=row["cgroup"],
                    base=row[f"{column}_base"],
                    other=row[f"{column}_other"],
                )
                for row in mine
                if condition.changed(row)
            ]
        return found

    def unseen(self, conditions: Iterable[Condition]) -> list[Condition]:
        """Find the conditions for which there is nothing to compare.

        Parameters
        ----------
        conditions : iterable of Condition
            As of `breaches`.

        Returns
        -------
        list of Condition
            On times, of which no cgroup has requests in both results.
        """
        rows = self.measures.to_pylist()
        return [one for one in conditions if not any(map(one.looks_at, rows))]

    def to_json(self, breaches: Iterable[Breach] = ()) -> str:
        """Say all of it in JSON.

        Parameters
        ----------
        breaches : iterable of Breach
            What conditions found.

        Returns
        -------
        str
            ``{"base", "other", "same_trace", "notes", "told", "scenario", "shares",
            "tables", "failed"}``.
        """
        value = {
            "base": self.names[0],
            "other": self.names[1],
            "same_trace": self.same_trace,
            "notes": list(self.notes),
            "told": {
                side: list(told)
                for side, told in zip(("base", "other"), self.told, strict=True)
            },
            "scenario": {
                key: {"base": base, "other": other}
                for key, (base, other) in self.scenario.items()
            },
            "shares": {
                side: list(shares)
                for side, shares in zip(("base", "other"), self.shares, strict=True)
            },
            "tables": {name: table.to_pylist() for name, table in self.tables.items()},
            "failed": [
                {
                    "condition": one.condition.text,
                    "cgroup": one.cgroup,
                    "base": one.base,
                    "other": one.other,
                }
                for one in breaches
            ],
        }
        return json_text(value)


def compare(
    base: Result | str | Path,
    other: Result | str | Path,
    *,
    names: tuple[str, str] = ("base", "other"),
) -> Comparison:
    """Find what differs between two results.

    Parameters
    ----------
    base, other : Result or path
        Of the same trace, if the difference is to mean something; a path is of a
        directory that `replay run -o` wrote.
    names : tuple of two str
        What to call them, for example the directories that they were read from.

    Returns
    -------
    Comparison
    """
    sides = [
        ComparedSide.of(one if isinstance(one, Result) else open_results(one), name)
        for one, name in zip((base, other), names, strict=True)
    ]
    return compare_sides(*sides)


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
    base, *others = (
        ComparedSide.of(open_results(outdir), str(outdir)) for outdir in outdirs
    )
    return [compare_sides(base, other) for other in others]


def _of_its_model(result: Result) -> Iterator[str]:
    """Note that a result was made by rules that have changed since."""
    # one of 0.1.0 does not say it
    made_by = result.info.get("model_version", 1)
    if made_by != MODEL_VERSION:
        yield (
            f"made by replay {result.info['versions']['replay']}, whose rules are "
            f"version {made_by} (now {MODEL_VERSION}): what differs may be the rules', "
            "run it again"
        )


def compare_sides(base: ComparedSide, other: ComparedSide) -> Comparison:
    """Find what differs between two results, or two sums of results.

    Parameters
    ----------
    base, other : ComparedSide

    Returns
    -------
    Comparison
    """
    pairs = {
        "charges": (_charges, ("issuer", "payer"), _PAID),
        "memory": (_table("memory"), ("cgroup",), ("own_file", "peak", "oom_kill")),
        "latency": (
            _latency,
            ("cgroup", "stage"),
            ("mean_ns", "p50_ns", "p99_ns", "count"),
        ),
        "interference": (
            _table("interference"),
            ("waiting", "blocking", "resource"),
            ("wait_ns", "count"),
        ),
        "errors": (_table("errors"), ("cgroup", "errno"), ("count", "bytes")),
    }
    tables = {
        name: difference(_taken(base, take), _taken(other, take), keys, values)
        for name, (take, keys, values) in pairs.items()
    }
    tables["kills"] = _kills(base.tables["kills"], other.tables["kills"])
    return Comparison(
        (base.name, other.name),
        base.traces == other.traces,
        scenario_differences(base.scenario, other.scenario),
        difference(
            _taken(base, measures),
            _taken(other, measures),
            ("cgroup",),
            tuple(MEASURES),
            equal_too=True,
        ),
        tables,
        told=(base.notes, other.notes),
        shares=(base.shares, other.shares),
    )


def _taken(side: ComparedSide, take: Callable[[_Tables], pa.Table]) -> pa.Table:
    """Take a table; what is wrong with it is said with the name of the side."""
    try:
        return take(side.tables)
    except OutputError as error:
        told = str(error)
        named = told if told.startswith(side.name) else f"{side.name}: {told}"
        raise OutputError(named) from error


def difference(
    base: pa.Table,
    other: pa.Table,
    keys: Sequence[str],
    values: Sequence[str],
    *,
    equal_too: bool = False,
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
    equal_too : bool
        Keep rows that do not differ.

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
    table = pa.table({**columns, "size": size})
    if not equal_too:
        table = table.filter(differs)
    order = [("size", "descending"), *((key, "ascending") for key in keys)]
    return table.sort_by(order).drop_columns("size")


_PAID = ("io_bytes", "charged_bytes", "refused_bytes")


def _table(name: str) -> Callable[[_Tables], pa.Table]:
    return lambda tables: tables[name]


def _charges(tables: _Tables) -> pa.Table:
    return sums(with_io_bytes(tables["charges"]), ("issuer", "payer"), _PAID)


def _latency(tables: _Tables) -> pa.Table:
    """Merge devices and operations."""
    by = ("cgroup", "stage")
    return merge_latency(tables["latency"], tables["histograms"], by=by)


def _kills(base: pa.Table, other: pa.Table) -> pa.Table:
    """Keep the kills without a counterpart: same task, cgroup and limit, any time.

    Of sums of results, in the same trace.
    """
    only = [
        table.append_column(
            "only_in", pa.array([side] * table.num_rows, pa.string())
        ).filter(pa.array(_unmatched(table, against), pa.bool_()))
        for table, against, side in ((base, other, "base"), (other, base, "other"))
    ]
    return pa.concat_tables(table.replace_schema_metadata(None) for table in only)


def _unmatched(table: pa.Table, against: pa.Table) -> Iterator[bool]:
    def who(kills: pa.Table) -> list[tuple[str, ...]]:
        columns = [*KILL_COLUMNS, *({"trace"} & set(kills.column_names))]
        return [tuple(row.values()) for row in kills.select(columns).to_pylist()]

    left = Counter(who(against))
    for kill in who(table):
        left[kill] -= 1
        yield left[kill] < 0


def scenario_differences(
    base: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return the keys of two effective scenarios that differ, with both values."""
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
