"""Write the description of scenarios: ``python -m replay.scenario.docs.scenario``.

What comes out is ``docs/scenario.md``; a test checks that the file is current.
"""

import json
import sys
from collections.abc import Iterable
from typing import Final

from replay.scenario.keys.table import ASSIGN, CGROUP, KEYS, TASK, Key

_INTRODUCTION: Final = """\
# Scenarios

<!-- Made by `python -m replay.scenario.docs.scenario > docs/scenario.md`;
do not edit. -->

A scenario is everything that the trace does not say: the driver's policy, the backing
file, the cgroups and their limits. It is a TOML file, given by `-s FILE`. Every key
may be left out; without a scenario the merged driver (5.14 and later) is replayed
with no limits. `replay init TRACE -o FILE` writes one with the trace's cgroups and
every key, to be edited; `replay keys TEXT` finds keys by name or meaning.

```toml
[driver]
policy = "per-cgroup"

[cgroups."/test.slice"]
memory.max = "64M"
tasks = [{ comm = "dd", rss = "1M" }]
```

`--set KEY=VALUE` sets one key, after the file, the last one winning:

- `--set driver.policy=root`: a key as below, its value as in TOML; a text needs no
  quotes.
- `--set /test.slice/memory.max=64M`: a cgroup's interface file, since the key begins
  with `/`.
- `--set 'service.read={ base_ns = 1000 }'`: several keys of a table; its others stay.

A key that is not known and a value that is not valid are refused with the key's full
path.

Sizes are what the kernel takes: digits (decimal, `0x` hexadecimal, or octal after a
`0`) and one of `K M G T P E`; `max` is no limit. Devices are `MAJOR:MINOR`. In
patterns `*`, `?` and `[...]` match as in a shell, and case matters.
"""

_CGROUPS: Final = """\
Names are those of the interface files, values their text. `memory.max = "64M"` and
`"memory.max" = "64M"` are the same. A cgroup is found in the trace by `id`, else by
its path, if the trace knows paths. Parents need not be listed. `io.max` and the other
files with a line for each device also take a table: `io.max = { "254:32" =
"wbps=4M" }`. Bytes a second take a size there, 1024 for a `K`, which the kernel's file
does not; results show digits, as it has them.
"""

_TASKS: Final = """\
Who can be killed when a cgroup reaches `memory.max`. An entry's requests are those
that a process of that name, or pid, issued for the cgroup; where several entries fit,
the first counts. Each other process that issues for a cgroup below a memory limit is
a task with no memory of its own, which the notes say. Kernel threads are never
killed.
"""

_ASSIGN: Final = """\
Whose request it is, where the trace carries no cgroup id, or the wrong one. All
conditions of a rule must hold; the first rule that matches wins. What no rule matches
keeps the trace's cgroup, or is the root's. The block layer's own flushes, which have
no bio, stay with nobody.

```toml
[[assign]]                     # pid 812, whatever it is called
pid = 812
cgroup = "/db"

[[assign]]                     # every other java, on one disk only
comm = "java*"
device = "8:16"
cgroup = "/batch"

[[assign]]                     # what is left
cgroup = "/rest"
```

Rules may stand in a file of their own, `replay run --assign RULES.toml`, with nothing
else in it; they are tried before the scenario's. The summary and `run.json` say how
many requests and bytes each rule caught, and what none did: `assign.rules` in order,
`assign.kept` for what kept the trace's cgroup, `assign.root` for what went to `/`.
"""


def document() -> str:
    """Describe every key.

    Returns
    -------
    str
        Markdown.
    """
    sections: dict[str, list[Key]] = {}
    for key in KEYS:
        sections.setdefault(key.path[: -len(key.name)] or _section(key), []).append(key)
    titles = {
        ASSIGN: ("`[[assign]]`", _ASSIGN),
        CGROUP: ('`[cgroups."/path"]`', _CGROUPS),
        TASK: ("`tasks` of a cgroup", _TASKS),
    }
    parts = [_INTRODUCTION]
    for section, keys in sections.items():
        title, text = titles.get(section, (f"`[{section}]`", ""))
        parts.append(f"## {title}\n")
        if text:
            parts.append(text)
        parts.append("\n".join(_table(keys, section)) + "\n")
    return "\n".join(parts)


def _section(key: Key) -> str:
    return key.name.split(".")[0]


def _table(keys: Iterable[Key], section: str) -> list[str]:
    lines = ["| key | value | default | unit | meaning |", "|---|---|---|---|---|"]
    for key in keys:
        name = key.name.removeprefix(f"{section}.")
        text = f"{key.text}; only of `/`" if key.root is True else key.text
        cells = [f"`{name}`", key.kind.text, _default(key), key.unit, text]
        lines.append(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        )
    return lines


def _default(key: Key) -> str:
    if key.default is None:
        return key.default_text
    return f"`{json.dumps(key.default)}`"


if __name__ == "__main__":
    sys.stdout.write(document())
