"""What the terminal shows of why requests waited and tasks were killed."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import (
    count_text,
    errno_text,
    moment_text,
    share_text,
    size_text,
    time_text,
)
from replay.report.explain import ExplainedKill, ExplainedRequest, Explanation

NO_REQUESTS = (
    "There is no row for each request: 'replay run --requests -o OUTDIR' keeps them, "
    "and then the slowest are told here."
)


def why_page(found: Explanation) -> RenderableType:
    """Tell, stage by stage, what requests waited for, and of each kill.

    Parameters
    ----------
    found : Explanation

    Returns
    -------
    RenderableType
        Readable at 80 columns.
    """
    return Group(*_kills(found), *_requests(found), *_waits(found))


def _kills(found: Explanation) -> Iterator[RenderableType]:
    if not found.kills:
        yield Text("Nobody was killed.")
        return
    yield Text("Who was killed", style="bold")
    for kill in found.kills:
        yield from _kill(kill)
    more = found.n_kills - len(found.kills)
    if more:
        yield Text(
            f"  … and {count_text(more, 'kill')} more: the table 'kills' has all"
        )


def _kill(kill: ExplainedKill) -> Iterator[RenderableType]:
    yield _line(
        f"{moment_text(kill.time_ns)} {kill.task} in {kill.victim_cgroup}: "
        f"{kill.limit_cgroup} has {size_text(kill.usage_bytes)}, {kill.limit}, and row "
        f"{kill.row} wanted more",
        2,
    )
    if kill.charged:
        parts = ", ".join(
            f"{size_text(n_bytes)} for {name}'s I/O" for name, n_bytes in kill.charged
        )
        yield _line(f"charged there at the end: {parts}", 4)
    for remedy in kill.remedies:
        yield _line(f"without it: {remedy}", 4)


def _requests(found: Explanation) -> Iterator[RenderableType]:
    if found.requests is None:
        yield Text(f"\n{NO_REQUESTS}")
        return
    if not found.requests:
        yield Text("\nNo such request was completed.")
        return
    yield Text("\nWhat the slowest requests waited for", style="bold")
    for request in found.requests:
        yield from _request(request)


def _request(request: ExplainedRequest) -> Iterator[RenderableType]:
    took = (
        "not completed"
        if request.total_ns is None
        else f"{time_text(request.total_ns)}"
    )
    when = "" if request.arrival_ns is None else f", {moment_text(request.arrival_ns)}"
    failed = f", failed: {errno_text(request.errno)}" if request.errno else ""
    yield _line(f"{took}: {request.title}{when}, row {request.row}{failed}", 2)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column(justify="right")
    grid.add_column(overflow="fold")
    whole = sum(one.time_ns for one in request.stages)
    for one in request.stages:
        grid.add_row(
            Text(one.stage),
            Text(time_text(one.time_ns)),
            Text(share_text(one.time_ns, whole)),
            Text(plain(one.text)),
        )
    yield Padding(grid, (0, 0, 0, 4))
    for remedy in request.remedies:
        yield _line(f"without it: {remedy}", 4)


def _waits(found: Explanation) -> Iterator[RenderableType]:
    if not found.waits:
        return
    yield Text("\nThe heaviest waits, over all requests", style="bold")
    for row in found.waits:
        behind = "itself" if row["waiting"] == row["blocking"] else row["blocking"]
        yield _line(
            f"{row['waiting']} behind {behind}: {time_text(row['wait_ns'])} in "
            f"{count_text(row['count'], 'wait')} for the {row['resource']}",
            2,
        )
        for remedy in row["remedies"]:
            yield _line(f"without it: {remedy}", 4)


def _line(text: str, indent: int) -> RenderableType:
    return Padding(Text(plain(text)), (0, 0, 0, indent))
