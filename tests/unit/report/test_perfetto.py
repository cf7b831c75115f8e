"""Perfetto's own package reads what is written for it."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import replay
from replay.cli.main import cli
from replay.common.errors import OutputError
from replay.report.perfetto import write_perfetto
from replay.results.tables import STAGE_NAMES
from support.results import result as made_result

TRACES = Path(__file__).parents[3] / "traces"


@pytest.fixture(scope="module")
def protos() -> Any:
    return pytest.importorskip(
        "perfetto.protos.perfetto.trace.perfetto_trace_pb2",
        reason="the package perfetto, which reads its traces, is not installed",
    )


def replayed(name: str) -> replay.Result:
    return replay.run(
        TRACES / name, TRACES / f"{name}.toml", requests=True, interval="auto"
    )


@pytest.fixture(scope="module")
def waited() -> replay.Result:
    return replayed("workers-per-cgroup")


class Read:
    """A file as slices, counters and moments by track."""

    def __init__(self, protos: Any, path: Path) -> None:
        trace = protos.Trace()
        trace.ParseFromString(path.read_bytes())
        self.names: dict[int, str] = {}
        self.parents: dict[int, int] = {}
        self.slices: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        self.counts: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self.instants: list[tuple[int, int, str]] = []
        open_: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        last: defaultdict[int, int] = defaultdict(int)
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id
            if packet.HasField("track_descriptor"):
                track = packet.track_descriptor
                assert track.uuid not in self.names
                self.names[track.uuid] = track.name
                self.parents[track.uuid] = track.parent_uuid
                continue
            event, at = packet.track_event, packet.timestamp
            # each track's events are in order of time, so that slices nest
            assert at >= last[event.track_uuid]
            last[event.track_uuid] = at
            assert event.track_uuid in self.names
            if event.type == event.TYPE_SLICE_BEGIN:
                facts = {
                    one.name: one.string_value or one.int_value
                    for one in event.debug_annotations
                }
                stack = open_[event.track_uuid]
                new = {
                    "name": event.name,
                    "from": at,
                    "depth": len(stack),
                    "facts": facts,
                    "flows": list(event.flow_ids),
                    "ends": list(event.terminating_flow_ids),
                }
                stack.append(new)
                self.slices[event.track_uuid].append(new)
            elif event.type == event.TYPE_SLICE_END:
                open_[event.track_uuid].pop()["until"] = at
            elif event.type == event.TYPE_COUNTER:
                self.counts[event.track_uuid].append((at, event.counter_value))
            else:
                assert event.type == event.TYPE_INSTANT
                self.instants.append((event.track_uuid, at, event.name))
        assert not any(open_.values())

    def below(self, name: str) -> list[int]:
        """Tracks below the one of a name."""
        (top,) = [one for one, called in self.names.items() if called == name]
        return [one for one, parent in self.parents.items() if parent == top]


def test_every_request_and_stage_is_there(
    protos: Any, waited: replay.Result, tmp_path: Path
) -> None:
    path = tmp_path / "out.pftrace"
    assert write_perfetto(waited, path) == (4000, 4000)
    read = Read(protos, path)
    assert waited.requests is not None
    rows = {row["row"]: row for row in waited.requests.to_pylist()}
    n_seen = 0
    for cgroup in ("/a", "/b"):
        for track in read.below(f"cgroup {cgroup}"):
            row: dict[str, Any] = {}
            stages: list[tuple[str, int]] = []
            for one in read.slices[track]:
                if one["depth"] == 0:
                    n_seen += 1
                    row, stages = rows[one["facts"]["row"]], []
                    assert row["issuer"] == cgroup
                    assert one["facts"]["sector"] == row["sector"]
                    assert (one["from"], one["until"]) == (
                        row["arrival_ns"],
                        row["completion_ns"],
                    )
                    expected = [
                        (stage, row[f"{stage}_ns"])
                        for stage in STAGE_NAMES
                        if row[f"{stage}_ns"]
                    ]
                else:
                    stages.append((one["name"], one["until"] - one["from"]))
                    assert stages == expected[: len(stages)]
    assert n_seen == 4000


def test_workers_serve_one_command_at_a_time_and_arrows_lead_to_who_waited(
    protos: Any, waited: replay.Result, tmp_path: Path
) -> None:
    write_perfetto(waited, tmp_path / "out.pftrace")
    read = Read(protos, tmp_path / "out.pftrace")
    assert waited.requests is not None
    rows = {row["row"]: row for row in waited.requests.to_pylist()}
    (track,) = read.below("workers")
    served = read.slices[track]
    assert len(served) == 4000
    assert all(a["until"] <= b["from"] for a, b in pairwise(served))
    begun = {flow: one for one in served for flow in one["flows"]}
    ended = {flow: one for one in served for flow in one["ends"]}
    assert begun.keys() == ended.keys()
    assert begun
    for flow, blocker in begun.items():
        waiting = rows[ended[flow]["facts"]["row"]]
        assert waiting["dispatch_ns"] > 0
        assert waiting["issuer"] != rows[blocker["facts"]["row"]]["issuer"]


def test_counters_and_kills(protos: Any, tmp_path: Path) -> None:
    result = replayed("seed-unlimited")
    write_perfetto(result, tmp_path / "out.pftrace")
    read = Read(protos, tmp_path / "out.pftrace")
    (kill,) = result.kills.to_pylist()
    ((track, at, name),) = read.instants
    assert (read.names[track], at, name) == (
        "cgroup /test.slice",
        kill["time_ns"],
        "dd killed",
    )
    by_name = {read.names[one]: values for one, values in read.counts.items()}
    assert result.timeline is not None
    usage = [
        (row["start_ns"], row["usage_bytes"])
        for row in result.timeline.to_pylist()
        if row["cgroup"] == "/test.slice"
    ]
    assert by_name["memory /test.slice"] == usage
    in_flight = by_name["in flight 7:0"]
    assert max(value for _, value in in_flight) >= 1
    assert in_flight[-1][1] == 0


def test_the_first_requests_from_a_time_on(
    protos: Any, waited: replay.Result, tmp_path: Path
) -> None:
    assert waited.requests is not None
    arrivals = sorted(waited.requests["arrival_ns"].to_pylist())
    begin = arrivals[1000]
    found = write_perfetto(waited, tmp_path / "o", from_ns=begin, most=10)
    assert found == (10, 3000)
    read = Read(protos, tmp_path / "o")
    shown = sorted(
        one["from"]
        for cgroup in ("/a", "/b")
        if f"cgroup {cgroup}" in read.names.values()
        for track in read.below(f"cgroup {cgroup}")
        for one in read.slices[track]
        if one["depth"] == 0
    )
    assert shown == arrivals[1000:1010]


def test_without_rows_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="run it with --requests"):
        write_perfetto(made_result(), tmp_path / "out.pftrace")


def test_the_command_says_what_it_wrote(waited: replay.Result, tmp_path: Path) -> None:
    waited.write(tmp_path / "out")
    words = ["export", str(tmp_path / "out"), "-o", str(tmp_path / "o.pftrace")]
    done = CliRunner().invoke(cli, [*words, "--most", "100"])
    assert done.exit_code == 0, done.output
    assert "o.pftrace: the first 100 of 4,000 requests" in done.stderr
    again = CliRunner().invoke(cli, words)
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
