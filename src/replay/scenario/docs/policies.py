"""Describe the policies, for `replay policies` and as ``docs/policies.md``.

``python -m replay.scenario.docs.policies`` writes the file; a test has it current.
"""

import json
import sys
import textwrap
from typing import Final

from replay.scenario.keys.policies import MERGED, POLICIES, VARIANTS, VariantRow

_HEAD: Final = """\
# Driver policies

<!-- Made by `python -m replay.scenario.docs.policies > docs/policies.md`. -->

`driver.policy` says who serves a command of the loop device and who pays for it. Each
is a few switches of one engine; [model.md](model.md) has the rules,
[glossary.md](glossary.md) the words.

WORDS
"""

#: What the lines below speak of.
_WORDS: Final = (
    "io cgroup: the issuer's cgroup, or the nearest above it that has the io "
    "controller (the kernel's blkcg)",
    "memory cgroup: that one, or the nearest above it that has the memory controller "
    "(memory css)",
    '5.14\'s patches: "Charge loop device i/o to issuing cgroup", 14 versions from '
    "2020 to 2021; the last one was merged in 5.14",
)

_VARIANTS: Final = """\
## Versions of 5.14's patches

`driver.variant` takes `per-cgroup` and `enospc` as one version of the patches had them.
`counts.allocations` of `run.json` tells how often a worker was asked for,
`counts.leaked_refs` how many references were lost. A worker that waits until it may
run waits in stage `dispatch`, behind the workers that do. Where that binds, recorded
service is taken as for another driver.
"""

_VARIANT_HEAD: Final = """\
| variant | posted | changes results | does not |
|---|---|---|---|"""

#: What is said of each policy: the field, and its title.
_ROWS: Final = {
    "server": "served by",
    "memory": "memory is paid by",
    "io": "I/O below is paid by",
    "blocked": "a limit blocks",
}


def document() -> str:
    """Describe every policy.

    Returns
    -------
    str
        Markdown.
    """
    words = "\n".join(
        textwrap.fill(f"- {one}.", 88, subsequent_indent="  ") for one in _WORDS
    )
    parts = [_HEAD.replace("WORDS", words)]
    for row in POLICIES:
        lines = [
            f"## `{row.name}`\n",
            f"{_sentence(row.origin)}\n",
            "| | |",
            "|---|---|",
            *(f"| {title} | {getattr(row, name)} |" for name, title in _ROWS.items()),
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


def listing() -> str:
    """Describe every policy and version for a terminal.

    Returns
    -------
    str
        Plain text, at most 80 columns.
    """
    lines = []
    for row in POLICIES:
        lines.append(f"{row.name}: {row.origin.replace('`', '')}")
        for name, title in _ROWS.items():
            lines += _filled(f"{title}:", getattr(row, name))
        if row.text:
            lines += _filled("note:", row.text)
        lines.append("")
    lines.append(
        "driver.variant, for per-cgroup and enospc: a version of 5.14's patches"
    )
    for variant in VARIANTS:
        changes = "; ".join(variant_changes(variant)) or "as merged"
        lines += _filled(variant.name, f"{variant.date}: {changes}", width=5)
    lines.append("")
    lines += [
        line
        for one in _WORDS
        for line in textwrap.wrap(one, 80, subsequent_indent="  ")
    ]
    return "\n".join(lines) + "\n"


def _filled(title: str, text: str, width: int = 22) -> list[str]:
    """Lay a title and its text out beside each other."""
    return textwrap.wrap(
        text.replace("`", ""),
        80,
        initial_indent=f"  {title:{width}} ",
        subsequent_indent=" " * (width + 3),
        break_on_hyphens=False,
    )


def to_json() -> str:
    """Describe every policy and version as JSON.

    Returns
    -------
    str
        ``{"policies": [...], "variants": [...]}``, in the order of `listing`.
    """
    policies = [
        {
            "name": row.name,
            "origin": row.origin,
            **{name: getattr(row, name) for name in _ROWS},
            "text": row.text,
            "exists": row.exists,
        }
        for row in POLICIES
    ]
    variants = [
        {
            "name": row.name,
            "posted": row.date,
            "changes": variant_changes(row),
            "text": row.text,
        }
        for row in VARIANTS
    ]
    return json.dumps({"policies": policies, "variants": variants}, ensure_ascii=False)


def variant_changes(row: VariantRow) -> list[str]:
    """Say what a version changes in the results.

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
        "leaks_css": "a reference to a cgroup is lost where no worker can be made",
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
