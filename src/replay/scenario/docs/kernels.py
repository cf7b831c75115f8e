"""Describe what differs between kernels, for `replay keys` and docs/kernels.md.

``python -m replay.scenario.docs.kernels`` writes the file; a test has it current.
"""

import sys
import textwrap
from collections.abc import Iterator
from typing import Final

from replay.scenario.keys.kernel_rules import (
    DEFAULT_KERNEL,
    NEWEST,
    OLDEST,
    RULES,
    Rule,
    text_of,
)

_HEAD: Final = """\
# Rules by kernel version

<!-- Made by `python -m replay.scenario.docs.kernels > docs/kernels.md`;
do not edit. -->

`driver.kernel` chooses whose rules hold, OLDEST to NEWEST. Without it they are those of
the kernel that the trace was taken on: `trace.kernel`, which is what the recording's
file `kernel` says (`replay record` writes it); else those of DEFAULT. A version is
written as people and distributions have it: `6.12`, `6.12.117`,
`7.3.4+deb13-cloud-amd64`, `5.15.0-91-generic`, `el9`.

A rule came in a release that lies between the two that *bound* it: the first was read
and has it not, the second has it. *Since* is the release that is taken. Where a kernel
lies between the bounds, or is a stable release that may have taken a rule over, the
notes of the result say what was taken and what else it may be. The same goes for a
distribution that takes changes of later kernels into an old one (el8, el9, el10).
[model.md](model.md) has the rules at length.

## One trace on seven kernels

`replay run traces/high-unlimited -s traces/high-unlimited.toml --set driver.kernel=K`,
with dd's own memory as 1300K: a writes 28 MiB to a file on tmpfs and may have 24 before
it is slowed (`tests/fidelity/test_kernels.py` has these numbers).

| kernel | pays | `high` of /a | a's worker sleeps | why |
|---|---|---|---|---|
| 5.10 | / | 0 | 0 s | one thread, the root's: no limit of a's is looked at |
| 5.15 | /a | 0 | 0 s | a worker for each cgroup, which `memory.high` does not hold |
| 6.0 | /a | 358 | 28.1 s | it does, in units of 32 pages: half the bytes a sleep |
| 6.1 | /a | 187 | 14.0 s | in units of 64 pages |
| 6.12 | /a | 187 | 14.0 s | as 6.1 |
| 6.18 | /a | 187 | 14.0 s | as 6.1; a request holds the file's lock as a whole |
| 7.3 | /a | 187 | 14.0 s | as 6.18 |
"""

#: In the order of the document.
_AREAS: Final = {
    "driver": "The loop driver",
    "memory": "Memory",
    "tmpfs": "A backing file on tmpfs",
    "huge": "tmpfs mounted with `huge=`",
    "cache": "The page cache of a backing file on a disk",
    "throttle": "`io.max`",
    "iocost": "`io.weight`",
    "trace": "blktrace",
}


def document() -> str:
    """Describe every rule.

    Returns
    -------
    str
        Markdown.
    """
    head = _HEAD.replace("OLDEST", text_of(OLDEST)).replace("NEWEST", text_of(NEWEST))
    parts = [head.replace("DEFAULT", str(DEFAULT_KERNEL))]
    for area, title in _AREAS.items():
        rules = [rule for rule in RULES if rule.area == area]
        if rules:
            parts.append(f"## {title}\n")
            parts.append("\n".join(_table(rules)) + "\n")
    return "\n".join(parts)


def _table(rules: list[Rule]) -> Iterator[str]:
    yield "| since | bound | before | from then on | source |"
    yield "|---|---|---|---|---|"
    for rule in rules:
        cells = (_since(rule), rule.bound, rule.before, rule.after, f"`{rule.source}`")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _since(rule: Rule) -> str:
    return " and ".join([text_of(rule.since), *(f"{one}" for one in rule.backports)])


def rule_lines() -> Iterator[str]:
    """Describe every rule for a terminal.

    Yields
    ------
    str
        Lines of at most 88 columns, indented.
    """
    for rule in RULES:
        yield from textwrap.wrap(
            f"from {_since(rule)}: {rule.after}",
            88,
            initial_indent="      ",
            subsequent_indent="        ",
        )


if __name__ == "__main__":
    sys.stdout.write(document())
