"""Inputs that replay did not survive well: each is now one line, or a right result.

Their kinds are tested where the code stands; this is hard-cases/README.md, row by row.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import replay
from replay.common.errors import OutputError

MAIN = "from replay.cli.start import main; main()"
SCENARIOS = ("--scenario", "*:root", "--scenario", "*:per-cgroup")
CSV = ("--columns", "time=a:s,offset=b:B,size=c:B,op=d")
CACHED = ("--set", "driver.direct_io=false", "--set", "backing.filesystem=ext4")
#: A run that needs more is a run without bounds.
SECONDS = 120
ADDRESS_SPACE = 3 << 30


@pytest.fixture(scope="session")
def hard_cases(shared: Path) -> Path:
    path = shared / "hard-cases"
    if not path.is_dir():
        pytest.skip(f"{path} is not there")
    return path


def run(
    *arguments: object, cwd: Path, limited: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the command, in 3 GB."""
    source = str(Path(replay.__file__).parents[1])
    limit = f"import resource as r; r.setrlimit(r.RLIMIT_AS, ({ADDRESS_SPACE},) * 2); "
    limit = limit if limited else ""
    return subprocess.run(
        [sys.executable, "-c", limit + MAIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": source, "OPENBLAS_NUM_THREADS": "1"},
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line on standard error, which names what is wrong; exit code 1."""
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert [word for word in words if word not in line] == [], line


def test_a_read_at_the_end_of_all_sectors_is_refused_with_its_row(
    hard_cases: Path, tmp_path: Path
) -> None:
    done = run("run", hard_cases / "wrapcap", "-q", *CACHED, cwd=tmp_path)
    assert_refused(done, "row 0", "sector 2**60")
    # the same row, cut out of a trace file of 200 others
    done = run("run", hard_cases / "min13968.arrow", "-q", *CACHED, cwd=tmp_path)
    assert_refused(done, "1 rows, but its devices have 200")


def test_an_archive_of_ids_alone_holds_no_trace(
    hard_cases: Path, tmp_path: Path
) -> None:
    archive = hard_cases / "archive-ids-only" / "x.tar"
    for command in (["info"], ["run"], ["init"], ["convert", "-o", "t.arrow"]):
        done = run(*command, archive, cwd=tmp_path)
        assert_refused(done, "x.tar", "holds no trace")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "arrow-odd-buffer.arrow"], ["is damaged"]),
        (["convert", "cgroup-unlisted.arrow", "--to", "parquet", "-o", "p.parquet"],
         ["cgroup id 23", "metadata"]),
        (["init", "pid-2to63.arrow"], ["is damaged", "pid"]),
        (["run", "pid-2to63.arrow", "--process", "5"], ["is damaged", "pid"]),
        (["compare", "res-hist", "res-hist"], ["res-hist", "not of the same results"]),
        (["compare", "res-runjson", "res-runjson"], ["run.json", "sha256"]),
        (["cgroups", "cg-digits"], ["ids: line 1", "5,000 digits"]),
        # their tables have other columns by now
        (["compare", "fleet-short", *SCENARIOS], ["fleet-short", "make it again"]),
        (["compare", "fleet-col", *SCENARIOS], ["fleet-col", "make it again"]),
        (["compare", "fleet-gone", *SCENARIOS], ["fleet-gone", "make it again"]),
    ],
    ids=lambda value: "-".join(value[:2]) if value[0].isalpha() else "",
)  # fmt: skip
def test_damage_is_refused_in_one_line(
    hard_cases: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    named = [
        str(hard_cases / one) if (hard_cases / one).exists() else one
        for one in arguments
    ]
    assert_refused(run(*named, cwd=tmp_path), *words)


def test_results_that_do_not_fit_are_not_merged(hard_cases: Path) -> None:
    with pytest.raises(OutputError, match="not of the same results"):
        replay.merge([hard_cases / "res-hist"])
    with pytest.raises(OutputError, match="sha256"):
        replay.merge([hard_cases / "res-runjson"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, top: Path) -> Path:
    """A dataset of this version."""
    place = tmp_path_factory.mktemp("fleet") / "whole"
    trace = top / "traces" / "nested-unlimited"
    replay.batch([trace], [], output=place, policies=["root", "per-cgroup"], jobs=1)
    return place


def shortened(table: pa.Table) -> pa.Table:
    return table.slice(1)


def of_other_columns(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("rbytes")
    return table.set_column(at, "rbytes", table["rbytes"].cast(pa.float64()))


def with_another_number(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("rbytes")
    field = table.schema.field("rbytes")
    return table.set_column(at, field, pc.add(table["rbytes"], 1))


@pytest.mark.parametrize(
    "damage", [shortened, of_other_columns, with_another_number, None]
)
def test_a_dataset_whose_table_is_not_what_was_written_is_refused(
    whole: Path,
    tmp_path: Path,
    top: Path,
    damage: Callable[[pa.Table], pa.Table] | None,
) -> None:
    # GIVEN a dataset, a file of which was written by somebody else, or is gone
    fleet = tmp_path / "fleet"
    shutil.copytree(whole, fleet)
    (part,) = (fleet / "charges").iterdir()
    if damage is None:
        part.unlink()
    else:
        pq.write_table(damage(pq.read_table(part)), part)
    # WHEN it is compared, or a batch goes on from there, THEN that is refused
    assert_refused(
        run("compare", fleet, *SCENARIOS, cwd=tmp_path), "charges", "is damaged"
    )
    more = top / "traces" / "seed-unlimited"
    done = run("batch", more, "-o", fleet, "-q", "-j", 1, cwd=tmp_path)
    assert_refused(done, "charges", "is damaged")


def test_a_name_is_no_script_of_a_page(hard_cases: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    cap = hard_cases / "html" / "cap"
    done = run(
        *("sweep", cap, "--vary", "machine.memory=16M,64M", "--report", "y.html"),
        cwd=tmp_path,
        # what draws reserves more address space
        limited=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "y.html").read_text("utf-8")
    # THEN names stand in it as data alone, and it loads nothing
    (name,) = (
        line.split(" ", 1)[1]
        for line in (cap / "ids").read_text("utf-8").splitlines()
        if "<" in line
    )
    assert name not in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "<script" not in markup
    assert not re.search(r"<[^>]*\s(?:src|href)=[\"'](?!#|data:)", markup)
    assert "default-src 'none'" in page


def test_idle_timers_cost_nothing(tmp_path: Path) -> None:
    # GIVEN two rows 103 days apart, and a page that stays dirty all the time
    (tmp_path / "two-rows.csv").write_text("a,b,c,d\n0,0,4096,w\n8900000,4096,4096,w\n")
    idle = ("--set", "machine.dirty_writeback_centisecs=1")
    dirty = ("--set", "machine.dirty_expire_centisecs=2000000000")
    # WHEN the flusher looks at it every 10 ms: 890 million times
    done = run(
        *("run", "two-rows.csv", *CSV, *CACHED, *idle, *dirty, "--json"), cwd=tmp_path
    )
    # THEN that takes no time; without it the test would end by its time limit
    assert done.returncode == 0, done.stderr
