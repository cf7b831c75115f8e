"""`replay curve` of recordings: what sweeps and single runs find."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import replay
from replay.cli.main import cli
from replay.common.errors import ScenarioError
from replay.curves.cache import CacheCurve
from replay.curves.curve import TmpfsCurve
from support.recordings import TRACES

SEED = TRACES / "seed-unlimited"
BASE = TRACES / "seed-unlimited.toml"
LIMIT = "/test.slice/memory.max"


def test_the_curve_of_the_seed_is_its_sweep() -> None:
    # GIVEN one pass over the seed's recording
    curve = replay.curve(SEED, BASE)
    (one,) = curve.cgroups
    assert isinstance(one, TmpfsCurve)
    # THEN it needs what the sweep finds, to the page
    found = replay.sweep(SEED, BASE, vary=[f"{LIMIT}=64M..512M*2"])
    (knee,) = found.knees
    numbers = {point.values[0]: point.numbers[0] for point in found.points}
    assert knee.holds is not None
    assert numbers[knee.holds] == one.need_bytes
    # AND at every limit of the sweep the request fails that it says
    for point in found.points:
        limit = point.numbers[0]
        assert isinstance(limit, int)
        stopped = one.stopped(limit)
        kills = sum(int(str(row["kills"])) for row in point.rows())
        assert (stopped is not None) == (kills == 1)
    for limit in (64 << 20, 200 << 20):
        result = replay.run(SEED, BASE, overrides=[f"{LIMIT}={limit}"])
        stopped = one.stopped(limit)
        assert stopped is not None
        assert result.kills["row"].to_pylist() == [stopped[0]]


def test_a_page_cache_is_a_share_of_lost_hits(tmp_path: Path) -> None:
    # GIVEN reads of ext4's pages, some again
    path = tmp_path / "reads.csv"
    reads = [0, 1, 2, 3, 0, 1, 2, 3, 3]
    path.write_text(
        "t,dev,at,n,rw\n"
        + "".join(f"{i},8:0,{4096 * p},4096,R\n" for i, p in enumerate(reads))
    )
    backing = {
        "filesystem": "ext4",
        "device": "8:16",
        "laid_out_by": "/",
        "readahead": 0,
        "reclaim": "lru",
    }
    scenario = {
        "driver": {"direct_io": False},
        "backing": backing,
        "assign": [{"device": "8:0", "cgroup": "/p/a"}],
    }
    options = replay.FormatOptions(
        name="csv", columns="time=t:s,device=dev,offset=at:B,size=n:B,op=rw"
    )
    found = replay.curve(path, scenario, format=options)
    # THEN cgroup and parent need four pages, and lose four of five hits with three
    assert [one.cgroup for one in found.cgroups] == ["/p", "/p/a"]
    for one in found.cgroups:
        assert isinstance(one, CacheCurve)
        assert (one.uses, one.need_bytes) == (5, 4 * 4096)
        assert one.lost(3 * 4096) == 4
        assert one.row(3 * 4096)["read_again_bytes"] == 4 * 4096
        assert one.row(3 * 4096)["lost_share"] == pytest.approx(0.8)
        # AND the engine with the same limit reads so much from the device below
        for limit in (4096, 3 * 4096, 4 * 4096):
            result = replay.run(
                path,
                scenario,
                overrides=[f"{one.cgroup}/memory.max={limit}"],
                format=options,
            )
            (below,) = [
                row["rbytes"]
                for row in result.io_stat.to_pylist()
                if (row["cgroup"], row["device"]) == (one.cgroup, "8:16")
            ]
            assert below == one.read_bytes(limit)


def test_holes_are_not_read_from_the_disk(tmp_path: Path) -> None:
    # GIVEN reads of a file that nothing was ever written to
    path = tmp_path / "reads.csv"
    path.write_text("t,dev,at,n,rw\n0,8:0,0,8192,R\n1,8:0,0,8192,R\n")
    options = replay.FormatOptions(
        name="csv", columns="time=t:s,device=dev,offset=at:B,size=n:B,op=rw"
    )
    scenario = {
        "driver": {"direct_io": False},
        "backing": {"filesystem": "ext4"},
        "assign": [{"device": "8:0", "cgroup": "/a"}],
    }
    found = replay.curve(path, scenario, format=options)
    # THEN hits are lost at a small limit, yet nothing is read for them; a note says why
    (one,) = found.cgroups
    row = one.row(4096)
    assert (row["uses"], row["lost"]) == (2, 2)
    assert (row["read_again_bytes"], row["read_bytes"]) == (0, 0)
    assert any("find holes" in note for note in found.notes)


def test_the_command_shows_limits_and_writes_them(tmp_path: Path) -> None:
    table = tmp_path / "curve.parquet"
    done = CliRunner().invoke(
        cli,
        [
            "curve",
            str(SEED),
            "-s",
            str(BASE),
            "--limits",
            "64M..256M*2",
            "-o",
            str(table),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "/test.slice: 257.6 MiB (270,094,336 B) holds all of it" in done.stdout
    rows = pq.read_table(table).to_pylist()
    assert [row["memory_max_bytes"] for row in rows] == [1 << 26, 1 << 27, 1 << 28]
    assert [row["stopped_row"] for row in rows] == sorted(
        row["stopped_row"] for row in rows
    )
    done = CliRunner().invoke(cli, ["curve", str(SEED), "--json"])
    assert json.loads(done.stdout)["tmpfs"] is True


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ("64M", [1 << 26]),
        ("0.5M,64M", [1 << 19, 1 << 26]),
        ("max", "--limits 'max': 'max' is not a size such as"),
        ("1M,1024K", "--limits '1M,1024K': 1M is there twice"),
        ("1M..2M", "--limits '1M..2M': '1M..2M' is not a range such as"),
    ],
)
def test_the_command_takes_one_limit_or_several(
    limits: str, found: list[int] | str
) -> None:
    command = ["curve", str(SEED), "-s", str(BASE), "--limits", limits, "--json"]
    done = CliRunner().invoke(cli, command)
    if isinstance(found, str):
        assert done.exit_code == 1
        assert found in done.stderr
        return
    rows = json.loads(done.stdout)["limits"]
    assert [row["memory_max_bytes"] for row in rows] == found


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["driver.direct_io=true"], "direct I/O has no pages"),
        (["driver.policy=root"], "/ pays for every page"),
        (["backing.laid_out_by=/"], "exist and are charged already"),
    ],
)
def test_what_has_no_curve_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        replay.curve(SEED, overrides=overrides)
    assert said in str(error.value)


def test_a_limit_that_the_table_cannot_hold_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"9223372036854775808 is not from 0 to"):
        replay.curve(SEED, BASE, limits=[4096, 1 << 63])
    largest = replay.curve(SEED, BASE, limits=[(1 << 63) - 1]).table()
    assert largest["memory_max_bytes"].to_pylist() == [(1 << 63) - 1]
    assert largest["stopped_row"].to_pylist() == [None]
