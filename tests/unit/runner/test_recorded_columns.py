"""What a trace has of each request stands beside what became of it."""

from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import replay
from replay.runner import play
from replay.trace.file.spill import KeptRows

TRACES = Path(__file__).parents[3] / "traces"
NAMES = ("op", "sector", "nbytes", "pid", "process")


@pytest.mark.parametrize("source", ["recording", "spilled", "file"])
@pytest.mark.parametrize("name", ["fs-on-loop", "workers-per-cgroup", "seed-swap"])
def test_requests_have_what_their_rows_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    # GIVEN a recording's rows, one by one
    with replay.convert(TRACES / name, tmp_path / "t.arrow") as trace:
        replay.write_parquet(trace, tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet").select(NAMES).to_pylist()
    given: Path = TRACES / name
    if source == "file":
        given = tmp_path / "t.arrow"
    if source == "spilled":
        monkeypatch.setattr(play, "KeptRows", partial(KeptRows, memory_bytes=1 << 14))
    # WHEN it is replayed, be it from memory or from a file
    result = replay.run(given, TRACES / f"{name}.toml", requests=True)
    # THEN each request has what its row has
    assert result.requests is not None
    assert result.requests.num_rows
    for request in result.requests.select(["row", *NAMES]).to_pylist():
        assert {key: request[key] for key in NAMES} == rows[request["row"]]


def test_a_name_that_is_not_known_is_null(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("t,at,n,rw\n0,0,4096,R\n1000,8,8192,W\n")
    result = replay.run(
        tmp_path / "t.csv",
        format=replay.FormatOptions(
            name="csv", columns="time=t:us,offset=at:sectors,size=n:B,op=rw"
        ),
        requests=True,
    )
    assert result.requests is not None
    assert result.requests["process"].to_pylist() == [None, None]
    assert result.requests["nbytes"].to_pylist() == [4096, 8192]
