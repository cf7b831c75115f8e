"""Write a scenario of a trace: what it holds, and every key with what holds now.

Lines that begin with ``# `` say what holds without them, so that a user takes the two
characters away and changes the value; lines that begin with ``##`` explain.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.common.plain import plain
from replay.common.text import count_text, size_text, time_text
from replay.scenario.bind import Binding, bind
from replay.scenario.binding.tasks import count_pairs
from replay.scenario.docs.listing import meaning
from replay.scenario.keys.load import Scenario, key_value
from replay.scenario.keys.paths import ROOT
from replay.scenario.keys.table import CGROUP_KEYS, SECTION_KEYS, TASK_KEYS, Key
from replay.scenario.keys.values import CgroupValues
from replay.scenario.writing.toml import inline_table, literal_pattern, value_toml
from replay.trace.file.metadata import Summary
from replay.trace.file.processes import is_kernel_thread
from replay.trace.file.schema import device_text
from replay.trace.rows import Rows

#: Cgroups that the trace has requests of, by bytes; a scenario need not list all.
MOST_CGROUPS: Final = 200
#: Processes of a cgroup, and rules of a trace without cgroups, by requests.
MOST_PROCESSES: Final = 8
#: Interface files that are shown with every cgroup, whether they are set or not.
_SHOWN: Final = ("memory.max", "memory.high", "io.max")
_EXPLAINED: Final = "##"
#: How the text of a default begins that is what another key says.
_FOLLOWS: Final = "as driver."
_HEAD: Final = """\
## A scenario of {name}: {requests} of {devices} in {span}.
## Lines that begin with one # say what holds without them: take it away to change one.
## Then: {command}
"""


@dataclass(frozen=True)
class _Cgroup:
    """A cgroup of the trace: its dense number, id, requests and bytes."""

    dense: int
    id: int
    n_requests: int
    nbytes: int


def outline(
    trace: Rows, name: str, base: Scenario, *, command: str | None = None
) -> str:
    """Write a scenario of a trace.

    Parameters
    ----------
    trace : Rows
        Its rows are gone through once, to find whose processes issue.
    name : str
        What the user calls it.
    base : Scenario
        What is known beside the trace, of the recorded machine for example; the
        default scenario if nothing is.
    command : str or None
        How it is used, for the reader of the file.

    Returns
    -------
    str
        TOML that `Scenario.load` takes as it is. A replay under it is one under `base`
        with the trace's own processes as tasks.

    Raises
    ------
    ScenarioError
        `base` does not fit the trace.
    """
    summary = trace.metadata.summary
    binding = bind(base, trace)
    devices = ", ".join(binding.device_names[:4]) or "no device"
    if binding.one_device:
        devices = ", ".join(device_text(one.device) for one in summary.devices[:4])
        devices += " as one" if len(summary.devices) > 1 else ""
    head = _HEAD.format(
        name=plain(name),
        command=plain(command or f"replay run {name} -s SCENARIO.toml"),
        requests=count_text(summary.n_rows, "request"),
        devices=devices,
        span=time_text(summary.end_ns - summary.start_ns),
    )
    lines = [*head.splitlines(), *_sections(base, binding), *_rules(summary, binding)]
    lines += _cgroups(trace, base, binding)
    return "\n".join(lines) + "\n"


def _sections(base: Scenario, binding: Binding) -> Iterator[str]:
    section = ""
    for name, key in SECTION_KEYS.items():
        table, _, rest = name.partition(".")
        if table != section:
            section = table
            yield from ("", f"[{table}]")
        given = key_value(base, name)
        holds = key_value(binding.scenario, name)
        if name == "trace.devices" and binding.one_device:
            # to name them would make them several
            holds = given
        yield from _explained(meaning(key))
        value = _toml(key, holds)
        follows = given is None and key.default_text.startswith(_FOLLOWS)
        if value is None or follows:
            yield from _explained(f"{rest}: {key.default_text}")
        else:
            # what the trace decides anew must not be fixed
            mark = "" if given is not None and given != key.default_value() else "# "
            yield f"{mark}{rest} = {value}"


def _explained(text: str) -> list[str]:
    indent = f"{_EXPLAINED} "
    return textwrap.wrap(text, 88, initial_indent=indent, subsequent_indent=indent)


def _rules(summary: Summary, binding: Binding) -> Iterator[str]:
    """Offer rules where no request carries a cgroup."""
    if binding.assigns or _traced(summary, binding).keys() - {ROOT}:
        return
    yield ""
    yield from _explained(
        "No request is of another cgroup than the root, unless rules say whose they "
        "are. The first that matches wins."
    )
    counts: dict[str, int] = {}
    for process in summary.processes:
        if process.names:
            comm = process.names[-1].name
            counts[comm] = counts.get(comm, 0) + process.n_requests
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rules = [
        (f"comm = {value_toml(literal_pattern(comm))}", comm, n)
        for comm, n in ranked
        if comm and n
    ]
    if not rules:
        rules = [
            (
                f"device = {value_toml(device_text(one.device))}",
                device_text(one.device),
                n,
            )
            for one in summary.devices
            if (n := one.n_requests)
        ]
    for condition, what, n in rules[:MOST_PROCESSES]:
        cgroup = value_toml("/" + what.replace("/", "_").replace(":", "_").strip(". "))
        yield f"# [[assign]]  # {count_text(n, 'request')}"
        yield f"# {condition}"
        yield f"# cgroup = {cgroup}"


def _cgroups(trace: Rows, base: Scenario, binding: Binding) -> Iterator[str]:
    found = _traced(trace.metadata.summary, binding)
    given = {cgroup.path: cgroup for cgroup in base.cgroups}
    ranked = sorted(found.items(), key=lambda one: (-one[1].nbytes, one[0]))
    shown = dict(ranked[:MOST_CGROUPS])
    present = [device_text(one.device) for one in trace.metadata.summary.devices]
    device = (binding.device_names if not binding.one_device else present or ["8:0"])[0]
    processes = _processes(trace, binding, {one.dense for one in shown.values()})
    for path in sorted({*shown, *given}):
        one = shown.get(path)
        if path == ROOT and path not in given:
            continue
        entry = given.get(path)
        yield ""
        yield f"[cgroups.{value_toml(_path(path, shown))}]"
        if one is None:
            yield f"{_EXPLAINED} no request"
        else:
            requests = count_text(one.n_requests, "request")
            yield f"{_EXPLAINED} {requests}, {size_text(one.nbytes)}"
        yield from _entry(entry, one, path, device)
        if entry is None or not entry.tasks:
            yield from _tasks(processes.get(one.dense, []) if one else [])
    if len(ranked) > MOST_CGROUPS:
        more = count_text(len(ranked) - MOST_CGROUPS, "more cgroup")
        yield from ("", f"{_EXPLAINED} and {more} of the trace")


def _entry(
    entry: CgroupValues | None, one: _Cgroup | None, path: str, device: str
) -> Iterator[str]:
    """Write a cgroup's keys: those that are set, and the usual ones."""
    for name, key in CGROUP_KEYS.items():
        if key.root is not None and key.root != (path == ROOT):
            continue
        value = key.default_value() if entry is None else key_value(entry, name)
        if name == "id" and value is None and one is not None:
            value = one.id
        if value != key.default_value():
            yield f"{name} = {_toml(key, value)}"
        elif name == "io.max":
            yield f'# io.max = "{device} rbps=max wbps=max riops=max wiops=max"'
        elif name in _SHOWN:
            yield f"# {name} = {_toml(key, value)}"
    if entry is None or not entry.tasks:
        return
    yield "tasks = ["
    for task in entry.tasks:
        values = (
            (name, value_toml(key.kind.show(value)))
            for name, key in TASK_KEYS.items()
            if (value := key_value(task, name)) is not None
        )
        yield f"  {inline_table(values)},"
    yield "]"


def _traced(summary: Summary, binding: Binding) -> dict[str, _Cgroup]:
    """Find the cgroups of the trace's requests, by the names that results have."""
    found = {}
    dense = dict(
        zip(binding.cgroup_ids.tolist(), binding.cgroup_of_id.tolist(), strict=True)
    )
    for one in summary.cgroups:
        if one.id and one.n_requests:
            number = dense[one.id]
            name = binding.cgroup_names[number]
            found[name] = _Cgroup(number, one.id, one.n_requests, one.nbytes)
    return found


def _path(name: str, shown: Mapping[str, _Cgroup]) -> str:
    """Give a cgroup a path, also one of which only the id is known."""
    if name.startswith(ROOT):
        return name
    path = f"/cgroup-{shown[name].id}"
    while path in shown:
        path += "-"
    return path


def _processes(
    trace: Rows, binding: Binding, wanted: set[int]
) -> dict[int, list[tuple[str, int]]]:
    """Count requests by cgroup and name of process, most first."""
    resolver = binding.resolver
    n_cgroups = resolver.n_cgroups
    mask: NDArray[np.bool_] = np.zeros(n_cgroups, np.bool_)
    mask[list(wanted)] = True
    names = resolver.processes.pid_names
    pairs = count_pairs(trace.batches(), resolver, mask, len(names) * n_cgroups)
    found: dict[int, dict[str, int]] = {}
    for key, n_rows in zip(pairs.key.tolist(), pairs.n_rows.tolist(), strict=True):
        position, cgroup = divmod(key, n_cgroups)
        # the kernel's own threads are no one's tasks
        for comm in names[position][-1:]:
            if comm.isprintable() and not is_kernel_thread(comm):
                counts = found.setdefault(cgroup, {})
                counts[comm] = counts.get(comm, 0) + n_rows
    return {
        cgroup: sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        for cgroup, counts in found.items()
    }


def _tasks(processes: Sequence[tuple[str, int]]) -> Iterator[str]:
    if not processes:
        return
    yield f"{_EXPLAINED} who can be killed at memory.max; rss: memory of its own"
    yield "tasks = ["
    for comm, n_requests in processes[:MOST_PROCESSES]:
        requests = count_text(n_requests, "request")
        task = {"comm": literal_pattern(comm), "rss": "0"}
        yield f"  {value_toml(task)},  # {requests}"
    yield "]"
    if len(processes) > MOST_PROCESSES:
        more = count_text(len(processes) - MOST_PROCESSES, "more name")
        yield f"{_EXPLAINED} and processes of {more}"


def _toml(key: Key, value: object) -> str | None:
    """Write a value; None if nothing stands for it."""
    if value is None and key.default is None:
        return None
    shown: Any = key.kind.show(value)
    return value_toml(shown)
