"""Curves for a person: what some limits cost each cgroup."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.distance.curve import Curve, default_limits
from replay.report.facts import TOP_CGROUPS
from replay.report.format import count_text, moment_text, plain, size_text


def curve_page(found: Curve) -> RenderableType:
    """Show what each limit costs, the cgroups first that need most.

    Parameters
    ----------
    found : Curve

    Returns
    -------
    RenderableType
    """
    parts: list[RenderableType] = []
    for one in found.cgroups[:TOP_CGROUPS]:
        what = "holds all of it" if found.tmpfs else "loses nothing"
        need = f"{size_text(one.need_bytes)} ({one.need_bytes:,} B) {what}"
        parts.append(Text(plain(f"{one.cgroup}: {need}"), style="bold"))
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim"
        )
        names = (
            ["stopped at", "request"] if found.tmpfs else ["hits lost", "read again"]
        )
        for name in ("memory.max", *names):
            table.add_column(name, justify="right", no_wrap=True)
        for limit in found.limits or default_limits(one.need_bytes):
            table.add_row(size_text(limit), *_cells(one.row(limit), found.tmpfs))
        parts.append(Padding(table, (0, 0, 1, 2), expand=False))
    if len(found.cgroups) > TOP_CGROUPS:
        more = len(found.cgroups) - TOP_CGROUPS
        parts.append(Text(f"… and {count_text(more, 'cgroup')} more\n"))
    if not found.cgroups:
        parts.append(Text("No cgroup but / is charged for a page.\n"))
    parts.append(Text("Estimates and losses", style="bold"))
    parts += [
        Padding(Text(plain(note), overflow="fold"), (0, 0, 0, 2), expand=False)
        for note in found.notes
    ]
    return Group(*parts)


def _cells(row: dict[str, int | float | None], tmpfs: bool) -> tuple[str, str]:
    if not tmpfs:
        share, again = row["lost_share"], row["read_again_bytes"]
        assert share is not None
        return f"{100 * share:.1f} %", size_text(int(again or 0))
    if row["stopped_row"] is None:
        return "-", "-"
    return moment_text(int(row["stopped_ns"] or 0)), f"row {row['stopped_row']:,}"
