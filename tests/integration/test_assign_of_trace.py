"""Rules of [[assign]] on a real recording, through to run.json."""

import json
from pathlib import Path

import pytest

import replay

TRACES = Path(__file__).parents[2] / "traces"
# All requests of workers-root carry the root's id: 3,000 of 4 KiB and 1,000 of 256 KiB
# by two processes called fio.
RULES = """\
[[assign]]
comm = "dd*"
cgroup = "/none"

[[assign]]
comm = "f?o"
pid = {pid}
cgroup = "/small"

[[assign]]
device = "7:0"
cgroup = "/large"
"""


@pytest.fixture(scope="module")
def small() -> int:
    """The pid that wrote 4 KiB at a time."""
    with replay.open_or_convert(TRACES / "workers-root") as trace:
        table = trace.table()
        rows = zip(table["pid"].to_pylist(), table["nbytes"].to_pylist(), strict=True)
        return int(next(pid for pid, nbytes in rows if nbytes == 4096))


@pytest.mark.parametrize(("batch_rows", "threads"), [(None, 1), (7, 2)])
def test_each_rule_is_reported_with_what_it_caught(
    tmp_path: Path, small: int, batch_rows: int | None, threads: int
) -> None:
    # GIVEN a recording without cgroups, and a file of rules
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES.format(pid=small))
    # WHEN replayed with dependent arrivals or as recorded, in whatever batches
    result = replay.run(
        TRACES / "workers-root",
        assign=rules,
        output=tmp_path / "out",
        batch_rows=batch_rows,
        threads=threads,
        overrides=["arrivals.mode=dependent"] if batch_rows else [],
    )
    # THEN run.json has every request and byte once
    assign = json.loads((tmp_path / "out" / "run.json").read_text())["assign"]
    caught = [
        (rule["cgroup"], rule["requests"], rule["bytes"]) for rule in assign["rules"]
    ]
    assert caught == [
        ("/none", 0, 0),
        ("/small", 3000, 3000 * 4096),
        ("/large", 1000, 1000 * 262144),
    ]
    assert assign["kept"] == assign["root"] == {"requests": 0, "bytes": 0}
    # AND the tables say the same
    written = {row["issuer"]: row["wbytes"] for row in result.charges.to_pylist()}
    assert written == {"/small": 3000 * 4096, "/large": 1000 * 262144}


def test_without_rules_nothing_is_reported() -> None:
    result = replay.run(TRACES / "seed-unlimited")
    assert result.info["assign"] is None


def test_rule_by_volume_works_on_a_trace_that_names_volumes(tmp_path: Path) -> None:
    # GIVEN a trace whose rows name volumes: time, offset, size, type, volume
    trace = tmp_path / "cloud.csv"
    trace.write_text(
        "1538323199,1234,8,0,1283\n1538323200,2234,16,1,1284\n"
        "1538323201,3234,8,1,1283\n1538323202,3234,64,0,99\n"
    )
    rules = tmp_path / "rules.toml"
    rules.write_text('[[assign]]\nvolume = "*_128?"\ncgroup = "/db"\n')
    # WHEN replayed under a rule for two of three of them
    result = replay.run(trace, assign=rules, format="tencent")
    # THEN the third keeps what the trace says
    (rule,) = result.info["assign"]["rules"]
    assert (rule["requests"], rule["bytes"]) == (3, 32 * 512)
    assert result.info["assign"]["kept"] == {"requests": 1, "bytes": 64 * 512}
    assert set(result.charges["issuer"].to_pylist()) == {"/db", "/volume_99"}
