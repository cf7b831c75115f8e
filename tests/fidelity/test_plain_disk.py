"""Two containers on one real disk: who hurts whom, and what a limit would do."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

import replay
from fidelity.page.real_disk import A, B, replayed
from fidelity.page.tables import only
from replay.calibration.disk import DiskCalibration, disk_toml
from replay.results.merge import merge_latency
from replay.trace.file.filters import Filters
from support.recordings import real_disk_names

Find = Callable[[str], Path]


def within(value: float, wanted: float, share: float) -> bool:
    return abs(value / wanted - 1) <= share


def test_a_recording_is_shown_as_it_was(recording: Find, tmp_path: Path) -> None:
    # GIVEN a reader beside a writer
    took, rate, result = replayed(recording("real-disk/p1-both"), out=tmp_path / "out")
    # THEN its requests took what the recording says, while both ran
    assert within(took.mean(), 5557, 0.01)
    assert within(float(np.quantile(took, 0.5)), 4680, 0.01)
    assert within(float(np.quantile(took, 0.99)), 16342, 0.05)
    assert within(rate / (1 << 20), 2720, 0.01)
    # AND they waited behind the writer, nearly all of it before the disk had them
    waits = {
        (row["waiting"], row["blocking"], row["resource"]): row["wait_ns"]
        for row in result.interference.to_pylist()
    }
    mine = sum(ns for (waiting, *_), ns in waits.items() if waiting == A)
    assert waits[A, B, "queue"] > 0.9 * mine


def test_a_part_of_a_recording_is_that_part(recording: Find, tmp_path: Path) -> None:
    # GIVEN the time in which both run, which ends 0.36 s before the reader does
    folder = recording("real-disk/p1-both")
    found = replay.run(
        folder,
        cgroups=folder / "ids",
        filters=Filters(begin="1.255713", end="2.267756"),
    )
    # THEN the reader's times there are told, without those in which it was alone
    row = only(found.latency, cgroup=A, stage="total")
    assert within(row["mean_ns"], 5_557_000, 0.01)
    assert within(row["p50_ns"], 4_700_000, 0.01)
    assert within(row["p99_ns"], 16_000_000, 0.05)
    # AND over the whole recording: nearly all before the disk had accepted the request
    found = replay.run(folder, cgroups=folder / "ids")
    total, queue = (
        only(found.latency, cgroup=A, stage=stage)["sum_ns"] / 683
        for stage in ("total", "queue")
    )
    assert within(total, 1_421_700, 0.001)
    assert within(queue, 1_344_500, 0.001)


@pytest.mark.parametrize("name", real_disk_names())
def test_what_was_recorded_is_what_is_shown(
    recording: Find, tmp_path: Path, name: str
) -> None:
    # GIVEN any of the recordings, WHEN it is run as it is
    folder = recording(name)
    trace = replay.convert(folder, tmp_path / "trace.arrow", cgroups=folder / "ids")
    found = replay.run(trace)
    paths = {one.id: one.path for one in trace.metadata.summary.cgroups}
    rows = trace.table().to_pandas()
    rows = rows[rows["complete_ns"].notna() & rows["queue_ns"].notna()]
    rows["took"] = rows["complete_ns"] - rows["queue_ns"]
    # THEN every cgroup's mean and quantiles are those of Q to C
    merged = merge_latency(
        found.latency.filter(pc.field("stage") == "total"),
        found.histograms.filter(pc.field("stage") == "total"),
        by=["cgroup"],
    )
    shown = {row["cgroup"]: row for row in merged.to_pylist()}
    for cgroup, mine in rows.groupby("cgroup"):
        row, took = shown[paths[cgroup]], np.sort(mine["took"].to_numpy())
        assert (row["count"], row["sum_ns"]) == (len(took), took.sum())
        for name_, rank in (("p50_ns", 0.5), ("p90_ns", 0.9), ("p99_ns", 0.99)):
            exact = took[int(np.ceil(rank * len(took))) - 1]
            assert within(row[name_], exact, 0.008)


@pytest.mark.parametrize(
    ("name", "limit", "mean", "rate"),
    [
        ("p1-both", "wbps=209715200", 53.9, 209 << 20),
        ("p2-both", "rbps=104857600", 52.0, 100 << 20),
        ("p3-both", "wiops=2000", 220.6, 31.3 * (1 << 20)),
    ],
)
def test_a_limit_on_the_neighbour_gives_the_readers_latency(
    recording: Find, tmp_path: Path, name: str, limit: str, mean: float, rate: float
) -> None:
    # GIVEN a recording of both, WHEN b is held to a rate
    took, found, _ = replayed(
        recording(f"real-disk/{name}"),
        f"{B}/io.max=254:0 {limit}",
        out=tmp_path / "out",
    )
    # THEN a's requests take what they did in a recording with that limit
    assert within(took.mean(), mean, 0.25)
    assert within(found, rate, 0.05)


@pytest.mark.parametrize(
    ("name", "mean", "p50", "p99"),
    [
        ("p1-both", 5557, 4680, 16342),
        ("p2-both", 748, 705, 1363),
        ("p3-both", 299, 308, 407),
        ("p3-2000", 221, 216, 333),
    ],
)
def test_a_pair_is_predicted_from_itself(
    recording: Find, tmp_path: Path, name: str, mean: float, p50: float, p99: float
) -> None:
    # GIVEN a recording of both, WHEN it is replayed in a closed loop by what was found
    took, _, _ = replayed(
        recording(f"real-disk/{name}"), "service.model=device", out=tmp_path / "out"
    )
    assert within(took.mean(), mean, 0.15)
    assert within(float(np.quantile(took, 0.5)), p50, 0.25)
    assert within(float(np.quantile(took, 0.99)), p99, 0.25)


def test_another_recording_of_a_pair_predicts_as_the_first_does(
    recording: Find, tmp_path: Path
) -> None:
    # GIVEN the same pair again: its reader begins before the writer, so that few of its
    # requests, and a first burst of what the limit lets through, meet
    took, rate, _ = replayed(
        recording("real-disk/p1-both-again"),
        f"{B}/io.max=254:0 wbps=209715200",
        out=tmp_path / "out",
    )
    # THEN as many requests of the recording with the limit took as long in the mean
    kernel, _, _ = replayed(recording("real-disk/p1-200"), out=tmp_path / "kernel")
    assert within(took.mean(), kernel[: len(took)].mean(), 0.30)
    assert within(rate, 209 << 20, 0.05)


@pytest.mark.parametrize(
    ("pair", "limit", "mean", "rate"),
    [
        ("p1", "wbps=209715200", 53.9, 209 << 20),
        ("p2", "rbps=104857600", 52.0, 100 << 20),
        ("p3", "wiops=2000", 220.6, 31.3 * (1 << 20)),
    ],
)
def test_a_recording_of_the_reader_alone_makes_it_nearer(
    recording: Find, tmp_path: Path, pair: str, limit: str, mean: float, rate: float
) -> None:
    # GIVEN a recording of both, and another of the reader alone
    both = recording(f"real-disk/{pair}-both")
    alone = recording(f"real-disk/{pair}-alone")
    # WHEN the disk is found from both, and the reader asks for what it did there
    with replay.convert(both, tmp_path / "trace.arrow", alone=alone) as trace:
        disk = replay.calibrate(trace=both, alone=alone)
        assert isinstance(disk, DiskCalibration)
        scenario = tomllib.loads(disk_toml(disk))
        took, found, result = replayed(
            trace, f"{B}/io.max=254:0 {limit}", scenario=scenario, out=tmp_path / "out"
        )
    # THEN its requests take what they did in a recording with that limit
    assert within(took.mean(), mean, 0.15)
    assert within(found, rate, 0.05)
    assert any("where it ran alone" in note for note in result.info["notes"])


@pytest.mark.parametrize(
    "keys",
    [
        ("disk.scheduler=bfq", "/rd_a/io.bfq.weight=1000", "/rd_b/io.bfq.weight=10"),
        (
            *("/rd_a/io.weight=1000", "/rd_b/io.weight=10"),
            "/io.cost.qos=254:0 enable=1 ctrl=user min=100 max=100",
            "/io.cost.model=254:0 ctrl=user model=linear rbps=4000000000 "
            "rseqiops=25000 rrandiops=25000 wbps=2800000000 wseqiops=19000 "
            "wrandiops=19000",
        ),
    ],
    ids=["bfq", "iocost"],
)
def test_weights_on_the_disk_help_the_reader(
    recording: Find, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    # GIVEN a reader beside a writer, and weights on the disk itself
    folder = recording("real-disk/p1-both")
    took, _, found = replayed(
        folder, "service.model=device", *keys, out=tmp_path / "out"
    )
    # THEN the reader's requests are served before most of the writer's, and no note
    # says that a weight had no effect
    assert took.mean() < 5557 / 4
    assert not [note for note in found.info["notes"] if "no effect" in note]
