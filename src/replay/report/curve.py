"""Curves for a person: what some limits cost each cgroup."""

from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import count_text, moment_text, size_text
from replay.curves.curve import Curve, default_limits
from replay.report.facts import TOP_CGROUPS

#: Cgroups whose tables are all shown.
_FEW: Final = 3
#: Limits that an overview has columns for.
_MOST_LIMITS: Final = 3


def curve_page(found: Curve, *, every: bool = False) -> RenderableType:
    """Show what each limit costs, the cgroups first that need most.

    Parameters
    ----------
    found : Curve
    every : bool
        Show the table of each cgroup, however many there are; otherwise of many
        cgroups a line each, and the first one's table.

    Returns
    -------
    RenderableType
    """
    cgroups = found.cgroups
    parts: list[RenderableType] = []
    shown = len(cgroups)
    if shown > _FEW and not every:
        shown = 1
        parts += _overview(found)
    for one in cgroups[:shown]:
        what = "holds all of it" if found.tmpfs else "loses nothing"
        need = f"{size_text(one.need_bytes)} ({one.need_bytes:,} B) {what}"
        if not (found.limits or default_limits(one.need_bytes)):
            # nothing but writes, or pages that are read once: no limit loses a hit
            text = f"{one.cgroup}: reads no page twice, so no memory.max loses a hit"
            if found.tmpfs:
                text = f"{one.cgroup}: is charged for no page"
            parts.append(Text(f"{plain(text)}\n", style="bold"))
            continue
        parts.append(Text(plain(f"{one.cgroup}: {need}"), style="bold"))
        names = (
            ["stopped at", "request"] if found.tmpfs else ["hits lost", "read again"]
        )
        table = _table()
        for name in ("memory.max", *names):
            table.add_column(name, justify="right", no_wrap=True)
        for limit in found.limits or default_limits(one.need_bytes):
            table.add_row(size_text(limit), *_cells(one.row(limit), found.tmpfs))
        parts.append(Padding(table, (0, 0, 1, 2), expand=False))
    if shown < len(cgroups):
        parts.append(
            Text(
                f"1 of {count_text(len(cgroups), 'table')} shown: --all shows each "
                "cgroup's, -o TABLE.parquet writes them\n"
            )
        )
    if not cgroups:
        parts.append(Text("No cgroup but / is charged for a page.\n"))
    parts.append(Text("Estimates and losses", style="bold"))
    parts += [
        Padding(Text(plain(note), overflow="fold"), (0, 0, 0, 2), expand=False)
        for note in found.notes
    ]
    return Group(*parts)


def _overview(found: Curve) -> list[RenderableType]:
    """Show a line for each cgroup: what it needs, and what less would cost."""
    table = _table()
    table.add_column("cgroup", overflow="fold", min_width=8)
    table.add_column("needs", justify="right", no_wrap=True)
    cost = "stopped at" if found.tmpfs else "hits lost at"
    limits = found.limits[:_MOST_LIMITS]
    names = [size_text(limit) for limit in limits] or ["1/2", "1/4", "1/8"]
    for name in names:
        table.add_column(f"{cost} {name}", justify="right", no_wrap=True)
    for one in found.cgroups[:TOP_CGROUPS]:
        at = limits or [one.need_bytes // share for share in (2, 4, 8)]
        cells = [_cells(one.row(limit), found.tmpfs)[0] for limit in at]
        table.add_row(Text(plain(one.cgroup)), size_text(one.need_bytes), *cells)
    what = "charged to each" if found.tmpfs else "cached for each"
    of = "" if found.limits else ", and at shares of it"
    n_cgroups = count_text(len(found.cgroups), "cgroup")
    parts: list[RenderableType] = [
        Text(f"{n_cgroups}: what memory.max has to be for all that is {what}{of}"),
        Padding(table, (0, 0, 0, 2), expand=False),
    ]
    if len(found.cgroups) > TOP_CGROUPS:
        parts.append(Text(f"  … and {len(found.cgroups) - TOP_CGROUPS:,} more"))
    return [*parts, Text("")]


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _cells(row: dict[str, int | float | None], tmpfs: bool) -> tuple[str, str]:
    if not tmpfs:
        share, again = row["lost_share"], row["read_again_bytes"]
        assert share is not None
        return f"{100 * share:.1f} %", size_text(int(again or 0))
    if row["stopped_row"] is None:
        return "-", "-"
    return moment_text(int(row["stopped_ns"] or 0)), f"row {row['stopped_row']:,}"
