"""One line on a timeline: when it was worst."""

from typing import Any

import pyarrow as pa

from replay.common.intervals import interval_text
from replay.common.text import count_text, moment_text, size_text, time_text
from replay.results.result import Result


def timeline_line(result: Result) -> str | None:
    """Say when most was waited and when most memory was held.

    Parameters
    ----------
    result : Result

    Returns
    -------
    str or None
        None if there is no timeline, or nothing in it.
    """
    timeline = result.timeline
    if timeline is None or not timeline.num_rows:
        return None
    import pyarrow.compute as pc

    width = result.info["interval_ns"]
    n_intervals = int(pc.max(timeline["interval"]).as_py()) + 1
    parts = [f"{count_text(n_intervals, 'interval')} of {interval_text(width)}"]
    waited = pc.subtract(timeline["total_ns"], timeline["device_ns"])
    worst = _largest(timeline.append_column("waited_ns", waited), "waited_ns")
    if worst["waited_ns"]:
        parts.append(
            f"{worst['cgroup']}'s requests that were done in the one from "
            f"{moment_text(worst['start_ns'])} on had waited most: "
            f"{time_text(worst['waited_ns'])}"
        )
    below = timeline.filter(pc.not_equal(timeline["cgroup"], "/"))
    if below.num_rows:
        held = _largest(below, "usage_bytes")
        if held["usage_bytes"]:
            parts.append(
                f"{held['cgroup']} held most memory at an interval's end, "
                f"{moment_text(held['start_ns'] + width)}: "
                f"{size_text(held['usage_bytes'])} of memory.current"
            )
    return "; ".join(parts)


def _largest(table: pa.Table, column: str) -> dict[str, Any]:
    """Return the first row with a column's largest value."""
    at = int(table[column].to_numpy().argmax())
    row: dict[str, Any] = table.slice(at, 1).to_pylist()[0]
    return row
