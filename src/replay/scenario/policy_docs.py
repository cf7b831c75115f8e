"""Describe the policies: ``python -m replay.scenario.policy_docs``.

What comes out is ``docs/policies.md``; a test checks that the file is current.
"""

import sys
from typing import Final

from replay.scenario.policies import MERGED, POLICIES, VARIANTS, VariantRow

_HEAD: Final = """\
# Driver policies

<!-- Made by `python -m replay.scenario.policy_docs > docs/policies.md`. -->

`driver.policy` says who serves a command of the loop device and who pays for it. Each
is a few switches of one engine; what the words mean stands in [model.md](model.md).
"""

_VARIANTS: Final = """\
## Postings of the series

`driver.variant` takes `per-cgroup` and `enospc` as one posting of the series had them.
`counts.allocations` of `run.json` tells how often a worker was asked for,
`counts.leaked_refs` how many references were lost. A worker that waits until it may
run waits in stage `dispatch`, behind the workers that do. Where that binds, recorded
service is taken as for another driver.
"""

_VARIANT_HEAD: Final = """\
| variant | posted | changes results | does not |
|---|---|---|---|"""


def document() -> str:
    """Describe every policy.

    Returns
    -------
    str
        Markdown.
    """
    parts = [_HEAD]
    for row in POLICIES:
        lines = [
            f"## `{row.name}`\n",
            f"{_sentence(row.origin)}\n",
            "| | |",
            "|---|---|",
            f"| served by | {row.server} |",
            f"| memory is paid by | {row.memory} |",
            f"| I/O below is paid by | {row.io} |",
            f"| a limit blocks | {row.blocked} |",
        ]
        if row.text:
            lines.append(f"\n{row.text}")
        parts.append("\n".join(lines) + "\n")
    parts.append(_VARIANTS)
    rows = [
        f"| `{row.name}` | {row.date} | {'; '.join(variant_changes(row)) or 'nothing'} "
        f"| {row.text} |"
        for row in VARIANTS
    ]
    parts.append("\n".join([_VARIANT_HEAD, *rows]) + "\n")
    return "\n".join(parts)


def variant_changes(row: VariantRow) -> list[str]:
    """Say what a posting changes in the results.

    Parameters
    ----------
    row : VariantRow

    Returns
    -------
    list of str
        Empty for the merged one.
    """
    said = {
        "keeps_idle": "no idle list: a worker is allocated for each burst",
        "limits_active": "loopN runs N workers at once (loop0: no limit that binds)",
        "root_has_worker": "the root cgroup has a worker of its own",
        "leaks_css": "a memory css is lost where no worker can be made",
    }
    return [
        text
        for name, text in said.items()
        if getattr(row, name) != getattr(MERGED, name)
    ]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    sys.stdout.write(document())
