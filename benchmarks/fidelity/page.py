"""The report as Markdown."""

from collections.abc import Mapping, Sequence

from benchmarks.fidelity.rows import Row

_HEAD = """\
# Fidelity

<!-- Made by `python -m benchmarks.fidelity --write`; do not edit. -->

Replays of recorded traces beside what the kernel counted while they were recorded
(Linux 6.1.192, two CPUs, software emulation; `traces/README.md`). *Replayed* is the
recording that was replayed, *counted in* the one in which the kernel counted: where
they differ the replay predicts a run under a limit or a driver that its trace has not
seen. The bounds follow from the rules and stand in tests (`tests/fidelity`).
"""
_TAIL = """\
## What is not modelled

- The kernel's `oom` and `max` counts depend on how often a CPU spins until the victim
  is gone; a replay gives two rounds. What is compared is the number of charges.
- In the recording `seed-oom` dd itself raised the OOM for the page cache of the device,
  which a trace of the device does not show.
- Two CPUs: a recording's service has in it what its processes took from each other.
  Through another driver (`workers-root`, `workers-per-cgroup`) that share would change.
- Requests that ran side by side under a worker each are taken to have run one after the
  other where another driver is asked; the file's lock, taken page by page, is shared
  evenly.
- Other differences stand beside the rules, in [model.md](model.md).
"""


def page(sections: Mapping[str, Sequence[Row]]) -> str:
    """Write the report.

    Parameters
    ----------
    sections : mapping of str to sequence of Row

    Returns
    -------
    str
        Markdown.
    """
    lines = [_HEAD]
    rows = [row for section in sections.values() for row in section]
    held = sum(row.holds for row in rows)
    lines.append(f"{held} of {len(rows)} numbers are within their bounds.\n")
    for title, section in sections.items():
        lines += [
            f"## {title}\n",
            "| replayed | counted in | what | kernel | replay | off | bound | |",
            "|---|---|---|---:|---:|---:|---|---|",
        ]
        lines += [_line(row) for row in section]
        lines.append("")
    return "\n".join([*lines, _TAIL])


def _line(row: Row) -> str:
    cells = (
        row.replayed,
        row.counted if row.counted != row.replayed else "the same",
        row.what,
        _number(row.kernel, row.unit),
        _number(row.found, row.unit),
        row.off,
        row.bound.text,
        "" if row.holds else "**missed**",
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
    return f"{text} {unit}".rstrip()
