"""The report as Markdown."""

from collections.abc import Mapping, Sequence

from fidelity.page.bounds import Row
from fidelity.page.kernels import LEFT_OUT


def left_out() -> str:
    """Say which recordings of other kernels stand in no table, and why."""
    told = [f"  - {name}: {why}" for name, why in LEFT_OUT.items()]
    return "\n".join(
        ["- Recordings of other kernels that stand above in no table:", *told]
    )


_HEAD = """\
# Fidelity

<!-- Made by `make fidelity`; do not edit. -->

How far replays are from the kernel: recorded traces are replayed (Linux 6.1.192 unless
a heading names another; two CPUs, software emulation; `traces/README.md`), and what
comes out stands beside what the kernel itself counted. Where another recording is the
one *counted in*, the replay predicts a run under a limit or a driver that its own trace
has not seen; else it gives the counters of the run that was recorded. The bounds follow
from the rules and stand in tests (`tests/fidelity`).
"""
_LAST = "What is not modelled"
_TAIL = f"""\
## {_LAST}

- The kernel's `oom` and `max` counts depend on how often a CPU spins until the victim
  is gone; a replay gives two rounds. Each round counts once in `oom` and 17 times in
  `max` (a charge tries 16 times more), so what is compared is `max` - 17·`oom`: the
  number of charges that came that far.
- In the recording `seed-oom` dd itself raised the OOM for the page cache of the device,
  which a trace of the device does not show.
- Two CPUs: a recording's service has in it what its processes took from each other.
  Through another driver (`workers-root`, `workers-per-cgroup`) that share would change.
- Requests that ran side by side under a worker each are taken to have run one after the
  other where another driver is asked; the file's lock, taken page by page, is shared
  evenly.
- `direct-bfq`: one number stands for a write's time, by which 600 take as long as they
  did. The emulated disk took 11.8 ms while both cgroups wrote, 8.3 ms once /a was
  alone, so /b is 8 % too fast; 2 % are fio's own, outside of the trace, and 3 % come of
  bfq's turns of up to 125 ms.
{left_out()}
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
    lines.append(
        f"**{held} of {len(rows)} numbers are within their bounds.** By bound, the "
        "strictest first:\n"
    )
    lines += [*_overview(rows), ""]
    lines.append("All of them, and what is left out:\n")
    titles = [*sections, _LAST]
    lines += [*(f"- [{title}](#{_anchor(title)})" for title in titles), ""]
    for title, section in sections.items():
        lines += [
            f"## {title}\n",
            "| replayed | counted in | what | kernel | replay | off | bound | |",
            "|---|---|---|---:|---:|---:|---|---|",
        ]
        lines += [_line(row) for row in section]
        lines.append("")
    return "\n".join([*lines, _TAIL])


def _overview(rows: Sequence[Row]) -> list[str]:
    """Say of each bound how many numbers it holds for, and which is most off."""
    lines = [
        "| bound | numbers | of them predicted | most off | which |",
        "|---|---:|---:|---:|---|",
    ]
    bounds: dict[str, list[Row]] = {}
    for row in sorted(rows, key=_strictness):
        bounds.setdefault(row.bound.text, []).append(row)
    for text, held in bounds.items():
        worst = max(held, key=lambda row: row.distance)
        predicted = sum(row.counted != row.replayed for row in held)
        which = f"{worst.what} ({worst.counted})" if worst.distance else ""
        lines.append(f"| {text} | {len(held)} | {predicted} | {worst.off} | {which} |")
    return lines


def _strictness(row: Row) -> tuple[bool, float, str]:
    """Order rows by how much their bound allows; counts before parts."""
    bound = row.bound
    room = bound.high - bound.low
    part = room if bound.in_counts or not row.kernel else room / abs(row.kernel)
    return not bound.in_counts and room > 0, part, bound.text


def _anchor(title: str) -> str:
    """Return what a Markdown viewer makes of a heading, to be linked to."""
    kept = "".join(char for char in title.lower() if char.isalnum() or char in " -_")
    return kept.replace(" ", "-")


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
