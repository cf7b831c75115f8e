"""Write a cgroup tree in the form of a scenario."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from replay.capture.tree import CONTROLLERS, ROOT, Cgroup, Task, Tree, in_order, parent

_LINES: Final = r"(?:[0-9]+:[0-9]+(?: +[a-z]+=[a-z0-9.]+)*\n?)+"
_SIZE: Final = r"max|[0-9]{1,20}"

#: File: its controller, whether only the root has it, what says nothing, its form.
_FORMS: Final[dict[str, tuple[str, bool, str, str]]] = {
    "memory.max": ("memory", False, "max", _SIZE),
    "memory.high": ("memory", False, "max", _SIZE),
    "memory.low": ("memory", False, "0", _SIZE),
    "memory.min": ("memory", False, "0", _SIZE),
    "memory.swap.max": ("memory", False, "max", _SIZE),
    "memory.oom.group": ("memory", False, "0", "[01]"),
    "io.max": ("io", False, "", _LINES),
    "io.weight": (
        "io",
        False,
        "default 100",
        r"(?:(?:(?:default|[0-9]+:[0-9]+) +)?[0-9]{1,5}\n?)+",
    ),
    "io.latency": ("io", False, "", _LINES),
    "io.cost.model": ("io", True, "", _LINES),
    "io.cost.qos": ("io", True, "", _LINES),
}
_MAX_PID: Final = 2**31 - 1


def scenario_toml(tree: Tree, title: str) -> str:
    """Write the cgroups of a tree as a scenario has them.

    Parameters
    ----------
    tree : Tree
    title : str
        First line, a comment.

    Returns
    -------
    str
        TOML. Of the limits only those that say something; controllers where they are
        not the parent's.
    """
    lines = [f"# {_one_line(title)}"]
    enabled = {ROOT: CONTROLLERS}
    ids: set[int] = set()
    for path in in_order(tree):
        cgroup = tree[path]
        above = enabled[ROOT]
        if path != ROOT:
            above = enabled.get(parent(path), _nearest(enabled, path))
            # a tree that changes while it is read may say what cannot be
            enabled[path] = cgroup.controllers() & above
        lines += ["", f"[cgroups.{quoted(path)}]"]
        lines += _cgroup(cgroup, enabled[path], above, ids)
    return "\n".join(lines) + "\n"


def _nearest(enabled: dict[str, frozenset[str]], path: str) -> frozenset[str]:
    while path not in enabled:
        path = parent(path)
    return enabled[path]


def _cgroup(
    cgroup: Cgroup, enabled: frozenset[str], above: frozenset[str], ids: set[int]
) -> Iterator[str]:
    if cgroup.id and cgroup.id < 2**64 and cgroup.id not in ids:
        ids.add(cgroup.id)
        yield f"id = {cgroup.id}"
    if enabled != above:
        yield f"controllers = [{', '.join(map(quoted, sorted(enabled)))}]"
    for name, (controller, of_root, default, form) in _FORMS.items():
        text = cgroup.files.get(name, default).strip()
        if text == default or of_root != (cgroup.path == ROOT):
            continue
        if controller not in enabled:
            continue
        if re.fullmatch(form, text) is None:
            yield f"# {name}: not understood: {_one_line(text)[:60]}"
        elif form == _SIZE:
            yield f"{name} = {quoted(_size(text))}"
        elif "\n" in text:
            yield f'{name} = """\n{text}"""'
        else:
            yield f"{name} = {quoted(text)}"
    if cgroup.tasks:
        yield "tasks = ["
        names = Counter(task.comm for task in cgroup.tasks)
        yield from (_task(task, names) for task in cgroup.tasks)
        yield "]"


def _task(task: Task, names: Counter[str]) -> str:
    """Write a task: by its name if that tells it from the others, else by its pid."""
    values = []
    if task.comm and task.comm.isprintable():
        # a name is a pattern: what stands in it shall match itself only
        pattern = re.sub(r"([\[*?])", r"[\1]", task.comm)
        values.append(f"comm = {quoted(pattern)}")
    if (names[task.comm] > 1 or not values) and task.pid <= _MAX_PID:
        values.append(f"pid = {task.pid}")
    values.append(f"rss = {quoted(_size(str(task.rss)))}")
    told = [f"pid {task.pid}"]
    if task.threads > 1:
        told.append(f"{task.threads} threads")
    if task.oom_score_adj:
        told.append(f"oom_score_adj {task.oom_score_adj}")
    return f"  {{ {', '.join(values)} }},  # {', '.join(told)}"


def _size(text: str) -> str:
    """Write bytes with the largest unit that they are a multiple of."""
    if not text.isdecimal():
        return text
    number, unit = int(text), ""
    for larger in "KMGT":
        if not number or number % 1024:
            break
        number, unit = number // 1024, larger
    return f"{number}{unit}"


def quoted(text: str) -> str:
    """Write a TOML string."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    text = re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", text)
    return f'"{text}"'


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
