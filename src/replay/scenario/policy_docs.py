"""Describe the policies: ``python -m replay.scenario.policy_docs``.

What comes out is ``docs/policies.md``; a test checks that the file is current.
"""

import sys
from typing import Final

from replay.scenario.policies import POLICIES

_HEAD: Final = """\
# Driver policies

<!-- Made by `python -m replay.scenario.policy_docs > docs/policies.md`. -->

`driver.policy` says who serves a command of the loop device and who pays for it. Each
is a few switches of one engine; what the words mean stands in [model.md](model.md).
"""


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
    return "\n".join(parts)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    sys.stdout.write(document())
