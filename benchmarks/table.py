"""Results as a table that a person and Markdown can read."""

from collections.abc import Sequence

from benchmarks.measure import Result

HEADINGS = (
    "case",
    "what",
    "count",
    "median",
    "min",
    "CPU",
    "million/s",
    "peak",
    "against",
    "times as fast",
)
LEFT = (0, 1, 8)


def table(results: Sequence[Result]) -> str:
    """Lay results out.

    Parameters
    ----------
    results : sequence of Result

    Returns
    -------
    str
        A Markdown table, its columns aligned. A ratio above 1 says that the case takes
        less time than what it is held against, unit by unit, medians both.
        CPU is the processors' time, of all threads and processes.
    """
    by_name = {result.case: result for result in results}
    rows = [HEADINGS, *(_row(result, by_name) for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    rule = [
        "-" * width if i in LEFT else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    ]
    lines = [_line(rows[0], widths), _line(rule, widths)]
    lines += [_line(row, widths) for row in rows[1:]]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    laid = [
        cell.ljust(width) if i in LEFT else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(laid)} |"


def _row(result: Result, by_name: dict[str, Result]) -> tuple[str, ...]:
    peer = by_name.get(result.peer)
    ratio = ""
    if peer is not None:
        ratio = f"{peer.ns(peer.median) / result.ns(result.median):.2f}"
    per_call = result.unit == "call"
    rate = "" if per_call else f"{1e3 / result.ns(result.median):.2f}"
    return (
        result.case,
        result.what,
        "" if per_call else f"{result.count:,} {result.unit}s",
        _time(result, result.median),
        _time(result, result.least),
        _time(result, result.cpu),
        rate,
        f"{result.bytes_peak / 1e6:.0f} MB" if result.bytes_peak else "",
        result.peer if peer is not None else "",
        ratio,
    )


def _time(result: Result, seconds: float) -> str:
    if result.unit == "call":
        return f"{seconds * 1e3:.1f} ms"
    return f"{result.ns(seconds):.1f} ns"
