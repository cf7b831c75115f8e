"""Sweeps of a real recording: what single runs say, found by fewer of them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import replay
from replay.cli.main import cli
from replay.common.errors import ScenarioError
from replay.results.conditions import parse_condition
from support.recordings import TRACES

SEED = TRACES / "seed-unlimited"
BASE = TRACES / "seed-unlimited.toml"
LIMIT = "/test.slice/memory.max"
VARY = f"{LIMIT}=64M..512M*2"


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "seed.arrow"
    replay.convert(SEED, path).close()
    return path


@pytest.fixture(scope="module")
def swept(seed: Path) -> replay.Sweep:
    return replay.sweep(seed, BASE, vary=[VARY], jobs=2)


def test_a_limit_of_a_cgroup_that_is_not_there_is_refused(seed: Path) -> None:
    with pytest.raises(ScenarioError, match=r"--vary /tst.slice/memory.max=64M: .*"):
        replay.sweep(seed, BASE, vary=["/tst.slice/memory.max=64M..512M*2"])


def kills(seed: Path, limit: int) -> int:
    result = replay.run(seed, BASE, overrides=[f"{LIMIT}={limit}"])
    return int(result.kills.num_rows)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["sweep", *map(str, arguments)])


def test_the_smallest_limit_without_a_kill_is_the_one_of_single_runs(
    seed: Path, swept: replay.Sweep
) -> None:
    # GIVEN a sweep of the limit, WHEN it says where the kills end
    (knee,) = swept.knees
    assert knee.monotonic
    assert knee.smallest
    assert knee.holds is not None
    (number,) = {
        point.numbers[0] for point in swept.points if point.values == (knee.holds,)
    }
    assert isinstance(number, int)
    # THEN a run with this limit kills nobody, and one page less does
    assert kills(seed, number) == 0
    assert kills(seed, number - 4096) == 1
    assert knee.broken == [("kills=0", "/test.slice", 1)]
    # AND so say all points
    for point in swept.points:
        assert isinstance(point.numbers[0], int)
        killed = sum(int(str(row["kills"])) for row in point.rows())
        assert killed == (point.numbers[0] < number)


def test_each_point_is_what_a_run_of_its_own_gives(
    seed: Path, swept: replay.Sweep
) -> None:
    table = swept.table()
    for limit in (64 << 20, 256 << 20):
        result = replay.run(seed, BASE, overrides=[f"{LIMIT}={limit}"])
        rows = table.filter(
            pc.and_(
                pc.equal(table[LIMIT], limit), pc.equal(table["cgroup"], "/test.slice")
            )
        ).to_pylist()
        assert [row["op"] for row in rows] == ["all", "write"]
        (charge,) = result.charges.to_pylist()
        (total,) = [
            row for row in result.latency.to_pylist() if row["stage"] == "total"
        ]
        for row in rows:
            assert row["requests"] == total["count"]
            assert (row["mean_ns"], row["p99_ns"]) == (
                total["mean_ns"],
                total["p99_ns"],
            )
        assert rows[0]["charged_bytes"] == charge["charged_bytes"]
        assert rows[0]["errors"] == result.errors.num_rows
        assert rows[1]["charged_bytes"] is None


def test_neither_the_number_of_processes_nor_a_second_time_changes_anything(
    seed: Path, swept: replay.Sweep
) -> None:
    again = replay.sweep(seed, BASE, vary=[VARY], jobs=1)
    assert again.table().equals(swept.table())
    assert again.knees == swept.knees


def test_a_recording_is_swept_as_its_trace_file_is(swept: replay.Sweep) -> None:
    assert replay.sweep(SEED, BASE, vary=[VARY]).table().equals(swept.table())


def test_each_policy_has_a_knee_of_its_own(seed: Path) -> None:
    found = replay.sweep(seed, BASE, vary=["driver.policy=root,per-cgroup", VARY])
    root, each = found.knees
    assert root.others == {"driver.policy": "root"}
    assert root.holds is None
    assert all(held for _, held in root.looked_at)
    assert each.holds is not None
    schema = found.table().schema
    assert schema.field(LIMIT).type == pa.int64()
    assert schema.field("driver.policy").type == pa.string()


def test_the_least_rate_that_keeps_a_percentile() -> None:
    # GIVEN /b's writes, each held back by io.max
    found = replay.sweep(
        TRACES / "workers-per-cgroup",
        vary=["/b/io.max=7:0 wbps=16M..256M*4"],
        keep=["p99@/b<100ms"],
        overrides=["arrivals.event=queue", "arrivals.mode=dependent"],
    )
    # THEN the knee lies between two rates, 1 % apart, on either side of the bound
    (knee,) = found.knees
    p99 = {
        point.values[0]: row["p99_ns"]
        for point in found.points
        for row in point.rows()
        if row["cgroup"] == "/b"
    }
    numbers = {point.values[0]: point.numbers[0] for point in found.points}
    assert knee.holds is not None
    assert knee.breaks is not None
    low, high = numbers[knee.breaks], numbers[knee.holds]
    assert low is not None
    assert high is not None
    assert low < high <= low * 1.0102
    assert int(str(p99[knee.holds])) < 100_000_000 <= int(str(p99[knee.breaks]))
    names = found.table().column_names
    assert names[:3] == ["point", "/b/io.max", "/b/io.max wbps"]


def test_a_point_that_is_refused_is_kept_with_its_reason(seed: Path) -> None:
    # GIVEN a device that the trace does not hold
    found = replay.sweep(seed, vary=['trace.devices=["7:0"],["9:9"]'])
    # THEN its point stands in the table, and the other one is as it was
    refused = found.table().filter(pc.is_valid(found.table()["error"])).to_pylist()
    assert [(row["point"], row["cgroup"], row["kills"]) for row in refused] == [
        (1, None, None)
    ]
    assert "9:9" in refused[0]["error"]
    assert found.points[0].error is None
    # AND it breaks whatever is to be kept
    condition = parse_condition("p99<1s")
    assert found.points[1].broken([condition]) == [("p99<1s", "", 0)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"vary": []}, "nothing to vary"),
        ({"vary": ["driver.polcy=root,naive"]}, "did you mean"),
        ({"vary": ["driver.policy=root,naive"], "keep": ["kills=0"]}, "give --along"),
        ({"vary": [VARY], "keep": ["kills@/x=0"]}, "no cgroup '/x'"),
        ({"vary": [VARY], "along": "driver.policy"}, "--along driver.policy"),
        ({"vary": [VARY], "keep": ["kills=0"], "in_step": True}, "--zip"),
    ],
)
def test_what_makes_no_sense_is_refused(
    seed: Path, more: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        replay.sweep(seed, BASE, **more)  # type: ignore[arg-type]
    assert said in str(error.value)


def test_the_command_writes_table_and_plot_and_says_the_answer(
    seed: Path, tmp_path: Path
) -> None:
    table, plot = tmp_path / "table.parquet", tmp_path / "plot.png"
    pytest.importorskip("vl_convert")
    done = call(seed, "-s", BASE, "--vary", VARY, "-o", table, "--plot", plot)
    assert done.exit_code == 0, done.output
    assert f"smallest {LIMIT} with kills=0: 263764K" in done.stdout
    assert pq.read_table(table)["point"].to_pylist()[-1] > 4
    assert plot.read_bytes().startswith(b"\x89PNG")
    # an output that is there is refused before any work is done
    again = call(seed, "-s", BASE, "--vary", VARY, "--plot", plot)
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
    svg, page = tmp_path / "plot.svg", tmp_path / "plot.html"
    assert call(seed, "--vary", VARY, "--plot", svg).exit_code == 0
    # a page is made by --report, which says more
    with pytest.warns(FutureWarning, match=r"is deprecated .* use --report FILE\.html"):
        assert call(seed, "--vary", VARY, "--plot", page).exit_code == 0
    assert "test.slice" in svg.read_text()
    assert "test.slice" in page.read_text()


def test_json_has_points_and_knees(seed: Path) -> None:
    done = call(seed, "-s", BASE, "--vary", VARY, "--json")
    found = json.loads(done.stdout)
    assert found["knees"][0]["holds"] == "263764K"
    assert len(found["points"]) > 4
    assert found["points"][0]["values"] == {LIMIT: "64M"}


def test_a_page_comes_of_the_same_command(seed: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    page = tmp_path / "page.html"
    done = call(seed, "-s", BASE, "--vary", VARY, "--report", page)
    assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert f"<h1>The smallest {LIMIT} with kills=0 is 263764K (257.6 MiB)</h1>" in text
    # an output that is there is refused before any work is done
    again = call(seed, "-s", BASE, "--vary", VARY, "--report", page)
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)


def test_without_what_draws_the_extra_is_named(
    seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name=name)

    monkeypatch.setattr("replay.report.html.bundle.import_module", absent)
    done = call(seed, "--vary", VARY, "--plot", tmp_path / "plot.png")
    assert done.exit_code == 1
    assert "vl_convert is not installed" in done.stderr
    assert "pip install 'cgroup-replay[plots]'" in done.stderr
    done = call(seed, "--vary", VARY, "--plot", tmp_path / "plot.pdf")
    assert "ends in .png, .svg, .html" in done.stderr


def test_a_wrong_condition_is_wrong_usage(seed: Path) -> None:
    done = call(seed, "--vary", VARY, "--keep", "p98<1ms")
    assert done.exit_code == 2
    assert "--keep 'p98<1ms': no measure 'p98': did you mean 'p99'" in done.stderr
