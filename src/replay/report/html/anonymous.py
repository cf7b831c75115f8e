"""Results without the names of cgroups, tasks and files, to be handed on."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from replay.results.result import Result

_CGROUPS: Final = frozenset(
    ("cgroup", "issuer", "payer", "waiting", "blocking", "limit_cgroup")
) | {"victim_cgroup"}
_ROOT: Final = "/"
#: Sections of a scenario that name nobody.
_SECTIONS: Final = ("driver", "arrivals", "backing", "service", "machine")


def without_names(results: Mapping[str, Result]) -> dict[str, Result]:
    """Replace what names somebody by what does not.

    Parameters
    ----------
    results : mapping of str to Result

    Returns
    -------
    dict of str to Result
        ``result-1`` and so on. cgroups are ``/cgroup-1`` and so on, the same one in
        every result; the root stays. Tasks are ``task``; files, processes and rules of
        ``[[assign]]`` are left out.
    """
    paths = (n for one in results.values() for n in one.memory["cgroup"].to_pylist())
    instead = _aliases(paths)
    return {
        f"result-{i}": Result(
            {name: _renamed(one.tables[name], instead) for name in one.tables},
            _told(one.info, instead),
        )
        for i, one in enumerate(results.values(), start=1)
    }


def _aliases(paths: Iterable[str]) -> dict[str, str]:
    others = [path for path in dict.fromkeys(paths) if path != _ROOT]
    return {path: f"/cgroup-{i}" for i, path in enumerate(others, start=1)}


def _renamed(table: pa.Table, instead: Mapping[str, str]) -> pa.Table:
    for i, field in enumerate(table.schema):
        if field.name not in _CGROUPS and field.name != "task":
            continue
        column = table.column(i).combine_chunks()
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        names = [
            "task" if field.name == "task" else instead.get(name, name)
            for name in column.dictionary.to_pylist()
        ]
        texts = pa.array(names, pa.string()).take(column.indices)
        table = table.set_column(i, field.with_type(pa.string()), texts)
    return table


def _told(info: Mapping[str, Any], instead: Mapping[str, str]) -> dict[str, Any]:
    trace = {**info["trace"], "path": "", "sources": []}
    scenario = {
        name: section for name, section in info["scenario"].items() if name in _SECTIONS
    }
    cgroups = info["scenario"].get("cgroups")
    if isinstance(cgroups, dict):
        scenario["cgroups"] = {
            instead.get(path, path): {
                key: value for key, value in keys.items() if key not in ("tasks", "id")
            }
            for path, keys in cgroups.items()
        }
    notes = [_replaced(note, instead) for note in info["notes"]]
    return {
        **info,
        "trace": trace,
        "scenario": scenario,
        "notes": notes,
        "assign": None,
        "dependence": None,
    }


def _replaced(text: str, instead: Mapping[str, str]) -> str:
    for name in sorted(instead, key=len, reverse=True):
        text = text.replace(name, instead[name])
    return text
