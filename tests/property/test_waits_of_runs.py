"""Waits behind others sum to the stages, whatever the runner does with a trace."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import replay
from replay.trace.file.write import write_trace
from support.traces import FakeRows, make_trace, metadata_of
from support.waits import waits_that_are_off

DISK, LOOP = 254 << 20, 7 << 20
#: A disk that nothing need be identified of.
WHOLE = {
    "scheduler": "mq-deadline",
    "descriptors": 8,
    "requeue_ns": 10,
    "delay_ns": 300,
    "together": True,
    "read": {"base_ns": 100, "ns_per_byte": 0.01, "random_ns": 50},
    "write": {"base_ns": 200, "ns_per_byte": 0.02, "random_ns": 0},
    "other_ns": 70,
}


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Requests of two cgroups on a disk, and perhaps a loop device, as recorded."""
    made, now = [], 0
    for _ in range(draw(st.integers(1, 30))):
        now += draw(st.integers(0, 400))
        queued, refused, took = (draw(st.integers(0, 900)) for _ in range(3))
        issue = now + queued
        again = draw(st.booleans())
        last = issue + refused if again else issue
        made.append(
            {
                "device": draw(st.sampled_from([DISK, DISK, LOOP])),
                "queue_ns": now,
                "issue_ns": issue,
                "last_issue_ns": last if again else None,
                # of one that is not seen to complete no latency is told
                "complete_ns": last + took,
                "sector": 8 * draw(st.integers(0, 100)),
                "nbytes": 4096 * draw(st.integers(1, 12)),
                "op": draw(st.sampled_from(["read", "write", "flush", "discard"])),
                "cgroup": draw(st.sampled_from([23, 24])),
                "pid": draw(st.sampled_from([143, 144, 145])),
            }
        )
    return sorted(made, key=lambda row: row["issue_ns"])


@given(
    rows(),
    st.sampled_from(["recorded", "dependent"]),
    st.sampled_from(["recorded", "auto"]),
    st.sampled_from(["root", "per-cgroup"]),
    st.booleans(),
)
def test_waits_sum_to_the_stages(
    made: list[dict[str, Any]], mode: str, model: str, policy: str, limited: bool
) -> None:
    # GIVEN any requests, and a replay of them as they were or of a disk's model
    trace = make_trace(made, paths={1: "/", 23: "/a", 24: "/b"})
    devices = {row["device"] for row in made}
    scenario: dict[str, Any] = {
        "trace": {"devices": [f"{device >> 20}:0" for device in sorted(devices)]},
        "driver": {"policy": policy},
        "arrivals": {"mode": mode},
        "service": {"model": model},
        "disk": WHOLE,
    }
    if limited:
        scenario["cgroups"] = {"/b": {"io.max": "254:0 riops=50000 wiops=20000"}}
    with TemporaryDirectory() as place:
        path = Path(place) / "trace.arrow"
        rows_of = FakeRows(trace.rows)
        write_trace(path, rows_of, lambda _: metadata_of(trace.metadata.summary))
        result = replay.run(path, scenario)
    # THEN what was waited for others is what the stages say, and no more
    assert waits_that_are_off(result) == {}
