"""Two containers on one real disk: who hurts whom, and what a limit would do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import replay

A, B = "/rd_a", "/rd_b"
Find = Callable[[str], Path]
Times = NDArray[np.int64]


def replayed(
    recording: Find, name: str, *keys: str, out: Path
) -> tuple[Times, float, replay.Result]:
    """Return what a's requests took while b's ran, us, and b's bytes a second."""
    ids = recording(f"real-disk/{name}") / "ids"
    result = replay.run(
        ids.parent,
        overrides=keys,
        cgroups=ids if ids.exists() else None,
        output=out,
        requests=True,
    )
    rows = pq.read_table(out / "requests.parquet").to_pandas()
    trace = replay.convert(ids.parent, out / "trace.arrow", cgroups=ids)
    nbytes = np.concatenate([b.column("nbytes").to_numpy() for b in trace.batches()])
    rows = rows[rows["completion_ns"].notna()]
    rows["begin"] = rows["arrival_ns"] + rows["throttle_ns"]
    of_b = rows[rows["issuer"] == B]
    first, last = of_b["begin"].min(), of_b["completion_ns"].max()
    of_a = rows[(rows["issuer"] == A) & rows["begin"].between(first, last)]
    took = (of_a["completion_ns"] - of_a["begin"]).to_numpy() / 1000
    return took, nbytes[of_b["row"]].sum() / ((last - first) / 1e9), result


def within(value: float, wanted: float, share: float) -> bool:
    return abs(value / wanted - 1) <= share


def test_a_recording_is_shown_as_it_was(recording: Find, tmp_path: Path) -> None:
    # GIVEN a reader beside a writer
    took, rate, result = replayed(recording, "p1-both", out=tmp_path / "out")
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
        recording, name, f"{B}/io.max=254:0 {limit}", out=tmp_path / "out"
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
    ],
)
def test_a_pair_is_predicted_from_itself(
    recording: Find, tmp_path: Path, name: str, mean: float, p50: float, p99: float
) -> None:
    # GIVEN a recording of both, WHEN it is replayed in a closed loop by what was found
    took, _, _ = replayed(recording, name, "service.model=device", out=tmp_path / "out")
    assert within(took.mean(), mean, 0.15)
    assert within(float(np.quantile(took, 0.5)), p50, 0.25)
    assert within(float(np.quantile(took, 0.99)), p99, 0.25)
