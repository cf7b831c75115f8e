"""Write a cgroup tree in the form of a scenario."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from replay.scenario.keys.kernel import kernel_in
from replay.scenario.keys.kernel_rules import policy_of
from replay.scenario.writing.found_loops import Loop
from replay.scenario.writing.found_tree import (
    CONTROLLERS,
    ROOT,
    FoundCgroup,
    FoundTask,
    Tree,
    in_order,
    parent,
)
from replay.scenario.writing.named import who_runs
from replay.scenario.writing.toml import (
    inline_table,
    literal_pattern,
    one_line,
    size_toml,
    value_toml,
)

_SIZE: Final = r"max|0|[1-9][0-9]{0,18}"
_DEVICE: Final = r"(?:[0-9]{1,3}|[1-3][0-9]{3}):[0-9]{1,6}"
_COUNT: Final = r"[1-9][0-9]{0,18}"
_DECIMAL: Final = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
_CTRL: Final = "ctrl=(?:auto|user)"


def _lines(*settings: str) -> str:
    """Make the form of a file with a line of settings for each device."""
    line = rf"{_DEVICE}(?: (?:{'|'.join(settings)}))*"
    return rf"{line}(?:\n{line})*"


def _weights(weight: str) -> str:
    """Make the form of a file with a weight for all devices, and lines for some."""
    line = rf"(?:(?:default|{_DEVICE}) )?{weight}"
    return rf"{line}(?:\n{line})*"


#: File: its controller, whether only the root has it, what says nothing, its form.
_FORMS: Final[dict[str, tuple[str, bool, str, str]]] = {
    "memory.max": ("memory", False, "max", _SIZE),
    "memory.high": ("memory", False, "max", _SIZE),
    "memory.low": ("memory", False, "0", _SIZE),
    "memory.min": ("memory", False, "0", _SIZE),
    "memory.swap.max": ("memory", False, "max", _SIZE),
    "memory.oom.group": ("memory", False, "0", "[01]"),
    "io.max": ("io", False, "", _lines(f"[rw](?:bps|iops)=(?:max|{_COUNT})")),
    "io.weight": (
        "io",
        False,
        "default 100",
        _weights("(?:[1-9][0-9]{0,3}|10000)"),
    ),
    "io.bfq.weight": (
        "io",
        False,
        "default 100",
        _weights("(?:[1-9][0-9]{0,2}|1000)"),
    ),
    "io.latency": ("io", False, "", _lines(f"target={_COUNT}")),
    "io.cost.model": (
        "io",
        True,
        "",
        _lines(_CTRL, "model=linear", f"[rw](?:bps|seqiops|randiops)={_COUNT}"),
    ),
    "io.cost.qos": (
        "io",
        True,
        "",
        _lines(
            _CTRL,
            "enable=[01]",
            f"[rw]lat=(?:0|{_COUNT})",
            f"(?:[rw]pct|min|max)={_DECIMAL}",
        ),
    ),
}
_MAX_PID: Final = 2**31 - 1


def scenario_toml(tree: Tree, title: str, head: Iterable[str] = ()) -> str:
    """Write the cgroups of a tree as a scenario has them.

    Parameters
    ----------
    tree : Tree
    title : str
        First line, a comment.
    head : iterable of str
        Lines to stand before the cgroups.

    Returns
    -------
    str
        TOML. Of the limits only those that say something; controllers where they are
        not the parent's.
    """
    lines = [f"# {one_line(title)}", *head]
    enabled = {ROOT: CONTROLLERS}
    ids: set[int] = set()
    for path in in_order(tree):
        cgroup = tree[path]
        above = enabled[ROOT]
        if path != ROOT:
            above = enabled.get(parent(path), _nearest(enabled, path))
            # a tree that changes while it is read may say what cannot be
            enabled[path] = cgroup.controllers() & above
        who = who_runs(path)
        note = "" if who is None else f"  # {one_line(who)}"
        lines += ["", f"[cgroups.{value_toml(path)}]{note}"]
        lines += _cgroup(cgroup, enabled[path], above, ids)
    return "\n".join(lines) + "\n"


def machine_toml(loops: Sequence[Loop], release: str) -> Iterator[str]:
    """Write what a scenario says of the recorded machine.

    Parameters
    ----------
    loops : sequence of Loop
        Loop devices that are recorded.
    release : str
        As ``uname -r`` says.

    Yields
    ------
    str
        Lines of ``[trace]``, ``[driver]`` and ``[backing]``: what the loop devices
        have in common. A comment for each says what it is.
    """
    trace, driver, backing = [], [], []
    kernel = kernel_in(release)
    if kernel is not None:
        trace.append(f"kernel = {value_toml(str(kernel))}")
        driver.append(f"kernel = {value_toml(str(kernel))}")
        if loops:
            trace.append(f"policy = {value_toml(policy_of(kernel))}")
    direct_io = {loop.direct_io for loop in loops}
    if len(direct_io) == 1:
        line = f"direct_io = {str(*direct_io).lower()}"
        trace.append(line)
        driver.append(line)
    below = {(loop.filesystem, loop.device, loop.size) for loop in loops}
    if len(below) == 1:
        ((filesystem, device, size),) = below
        if filesystem is not None:
            # any other file system on a disk caches as ext4 does
            known = filesystem if filesystem in ("tmpfs", "raw") else "ext4"
            backing.append(f"filesystem = {value_toml(known)}")
        if device is not None:
            backing.append(f"device = {value_toml(device)}")
        if size is not None:
            backing.append(f"size = {size_toml(str(size))}")
    for loop in loops:
        how = "direct" if loop.direct_io else "buffered"
        where = loop.filesystem or "a file system that is not seen from here"
        yield f"# {loop.name}: {one_line(loop.file)} on {one_line(where)}, {how}"
    for name, lines in (("trace", trace), ("driver", driver), ("backing", backing)):
        if lines:
            yield from ("", f"[{name}]", *lines)


def _nearest(enabled: dict[str, frozenset[str]], path: str) -> frozenset[str]:
    while path not in enabled:
        path = parent(path)
    return enabled[path]


def _cgroup(
    cgroup: FoundCgroup, enabled: frozenset[str], above: frozenset[str], ids: set[int]
) -> Iterator[str]:
    if cgroup.id and cgroup.id < 2**64 and cgroup.id not in ids:
        ids.add(cgroup.id)
        yield f"id = {cgroup.id}"
    if enabled != above:
        yield f"controllers = {value_toml(sorted(enabled))}"
    for name, (controller, of_root, default, form) in _FORMS.items():
        text = cgroup.files.get(name, default).strip()
        if text == default or of_root != (cgroup.path == ROOT):
            continue
        if controller not in enabled:
            continue
        if re.fullmatch(form, text) is None:
            yield f"# {name}: not understood: {one_line(text)[:60]}"
        elif form == _SIZE:
            yield f"{name} = {size_toml(text)}"
        elif "\n" in text:
            yield f'{name} = """\n{text}"""'
        else:
            yield f"{name} = {value_toml(text)}"
    if cgroup.tasks:
        yield "tasks = ["
        names = Counter(task.comm for task in cgroup.tasks)
        yield from (_task(task, names) for task in cgroup.tasks)
        yield "]"


def _task(task: FoundTask, names: Counter[str]) -> str:
    """Write a task: by its name if that tells it from the others, else by its pid."""
    values = []
    if task.comm and task.comm.isprintable():
        values.append(("comm", value_toml(literal_pattern(task.comm))))
    told = f"pid {task.pid}"
    if (names[task.comm] > 1 or not values) and task.pid <= _MAX_PID:
        values.append(("pid", str(task.pid)))
        told = ""
    values.append(("rss", size_toml(str(task.rss))))
    notes = [told] if told else []
    if task.threads > 1:
        notes.append(f"{task.threads} threads")
    if -1000 <= task.oom_score_adj <= 1000 and task.oom_score_adj:
        values.append(("oom_score_adj", str(task.oom_score_adj)))
    comment = f"  # {', '.join(notes)}" if notes else ""
    return f"  {inline_table(values)},{comment}"
