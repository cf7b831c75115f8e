"""Replays of random recordings, as the runner makes them: for properties of results."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st

import replay
from replay.trace.file.write import write_trace
from support.traces import FakeRows, make_trace, metadata_of

DISK, LOOP = 254 << 20, 7 << 20
#: A disk that nothing need be identified of.
WHOLE: Mapping[str, Any] = {
    "scheduler": "mq-deadline",
    "descriptors": 8,
    "requeue_ns": 10,
    "delay_ns": 300,
    "together": True,
    "read": {"base_ns": 100, "ns_per_byte": 0.01, "random_ns": 50},
    "write": {"base_ns": 200, "ns_per_byte": 0.02, "random_ns": 0},
    "other_ns": 70,
}
PATHS = {1: "/", 23: "/a", 24: "/p/b"}
Row = dict[str, Any]


@st.composite
def recorded_rows(
    draw: st.DrawFn, *, unfinished: bool = False, loops: bool = True
) -> list[Row]:
    """Draw requests of two cgroups on a disk, and perhaps a loop device, as recorded.

    Parameters
    ----------
    unfinished : bool
        Some may not be seen to complete: of those no latency is told.
    loops : bool
        Some may be a loop device's: a disk beside it is served as that one is.
    """
    devices = [DISK, DISK, LOOP] if loops else [DISK]
    made, now = [], 0
    for _ in range(draw(st.integers(1, 30))):
        now += draw(st.integers(0, 400))
        queued, refused, took = (draw(st.integers(0, 900)) for _ in range(3))
        issue = now + queued
        again = draw(st.booleans())
        last = issue + refused if again else issue
        op = draw(st.sampled_from(["read", "write", "flush", "discard"]))
        n_pages = 0 if op == "flush" else draw(st.integers(1, 12))
        made.append(
            {
                "device": draw(st.sampled_from(devices)),
                "queue_ns": now,
                "issue_ns": issue,
                "last_issue_ns": last if again else None,
                "complete_ns": last + took,
                "sector": 8 * draw(st.integers(0, 100)),
                "nbytes": 4096 * n_pages,
                "op": op,
                "cgroup": draw(st.sampled_from([23, 24])),
                "pid": draw(st.sampled_from([143, 144, 145])),
            }
        )
        if unfinished and draw(st.integers(0, 4)) == 0:
            made[-1]["complete_ns"] = None
    return sorted(made, key=lambda row: row["issue_ns"])


@st.composite
def recorded_scenarios(draw: st.DrawFn, rows: list[Row]) -> dict[str, Any]:
    """Draw what the rows are replayed under: as they were, or by a disk's model."""
    devices = {row["device"] for row in rows}
    scenario: dict[str, Any] = {
        "trace": {"devices": [f"{device >> 20}:0" for device in sorted(devices)]},
        "driver": {"policy": draw(st.sampled_from(["root", "per-cgroup"]))},
        "arrivals": {"mode": draw(st.sampled_from(["recorded", "dependent"]))},
        "service": {"model": draw(st.sampled_from(["recorded", "auto"]))},
        "disk": dict(WHOLE),
    }
    if draw(st.booleans()):
        limit = "254:0 riops=50000 wiops=20000"
        scenario["cgroups"] = {"/p/b": {"io.max": limit}}
    return scenario


def replayed(
    rows: list[Row], scenario: dict[str, Any], **options: Any
) -> replay.Result:
    """Write the rows as a trace file, and replay it."""
    trace = make_trace(rows, paths=PATHS)
    with TemporaryDirectory() as place:
        path = Path(place) / "trace.arrow"
        batches = FakeRows(trace.rows)
        write_trace(path, batches, lambda _: metadata_of(trace.metadata.summary))
        return replay.run(path, scenario, **options)
