"""A check of a recording, for a person to read."""

from typing import Final

from replay.common.plain import plain
from replay.verify.check import Check, CheckedNumber

_HEAD: Final = ("cgroup", "what", "predicted", "counted", "off", "bound")


def check_text(check: Check) -> str:
    """Lay out a check.

    Parameters
    ----------
    check : Check

    Returns
    -------
    str
        A table of what was predicted and what was counted, then the notes.
    """
    rows = [_HEAD, *(_row(line, check.within) for line in check.lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = [
        f"{plain(check.capture)}: rules of kernel {check.kernel}, policy "
        f"{check.policy}",
        "",
    ]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([*left[:2], *right[2:5], left[5]]).rstrip())
    beyond = len(check.beyond)
    lines += [
        "",
        f"{beyond} of {len(check.lines)} numbers are further off than "
        f"{_percent(check.within)} of what was counted"
        if beyond
        else f"All {len(check.lines)} numbers are within {_percent(check.within)} of "
        "what was counted",
    ]
    if check.notes:
        lines += ["", "Estimates and losses", *(f"  {plain(n)}" for n in check.notes)]
    return "\n".join(lines) + "\n"


def _row(line: CheckedNumber, within: float) -> tuple[str, ...]:
    if line.predicted == line.counted:
        off = "0"
    elif line.counted:
        off = f"{line.predicted / line.counted - 1:+.2%}"
    else:
        off = f"{line.predicted - line.counted:+d}"
    bound = _percent(within)
    if line.off > within:
        bound = f"BEYOND {bound}"
    return (
        plain(line.cgroup),
        line.what,
        f"{line.predicted:,}",
        f"{line.counted:,}",
        off,
        bound,
    )


def _percent(part: float) -> str:
    """Show a part as the docs and the option's help have it."""
    return f"{100 * part:.3g} %"
