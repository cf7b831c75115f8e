"""Shares of a device under controllers that let nothing go to waste."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import count_text, moment_text, time_text
from replay.results.result import Result
from replay.results.shares import USUAL_WEIGHT, WEIGHTS, shares_of


def shares_table(result: Result) -> Iterator[RenderableType]:
    """List the cgroups' shares, where weights or latencies share the device.

    Parameters
    ----------
    result : Result

    Yields
    ------
    RenderableType
    """
    rows = shares_of(result.tables, result.info)
    if not rows:
        return
    cgroups = result.info["scenario"]["cgroups"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("cgroup", overflow="fold", min_width=8)
    for name in ("weight", "requests", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    # not their time in the device: it holds what a scheduler let them wait
    whole = {name: sum(row[name] for row in rows) for name in ("requests", "bytes")}
    for row in rows:
        table.add_row(
            Text(plain(row["cgroup"])),
            _weight(cgroups.get(row["cgroup"], {})),
            *(f"{100 * row[name] / whole[name]:.0f} %" for name in whole),
        )
    first = rows[0]
    between = f"{moment_text(first['from_ns'])} to {moment_text(first['to_ns'])}"
    yield Text(f"\nShares of the device while all want more, {between}", style="bold")
    yield Padding(table, (0, 0, 0, 2), expand=False)


def debt_lines(result: Result) -> Iterator[str]:
    """Tell of debts: who owed for how long, and what delays came of them.

    Parameters
    ----------
    result : Result

    Yields
    ------
    str
    """
    counts = result.info["counts"]
    owed = {
        row["cgroup"]: row["cost_indebt_us"]
        for row in result.io_stat.to_pylist()
        # the root's is the sum of all
        if row.get("cost_indebt_us") and row["cgroup"] != "/"
    }
    for name, owed_us in sorted(owed.items()):
        yield f"{name} owed for I/O of the device below for {time_text(owed_us * 1000)}"
    if counts.get("delays"):
        delayed = time_text(counts["delayed_ns"])
        yield (
            f"{count_text(counts['delays'], 'delay')} of {delayed} in sum: the stage "
            "debt of the requests behind them"
        )


def _weight(keys: Mapping[str, Any]) -> str:
    """Return the weight that was set, of the controller that has one."""
    weights = [keys.get(name, USUAL_WEIGHT) for name in WEIGHTS]
    found = next((one for one in weights if one != USUAL_WEIGHT), USUAL_WEIGHT)
    if isinstance(found, Mapping):
        return ", ".join(f"{device} {weight}" for device, weight in found.items())
    return str(found)
