"""Batches on an object store and on a cluster give what local ones give."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

import replay
from replay.common.errors import OutputError, ReplayError, TraceError
from replay.dataset import journal as journal_module
from replay.dataset import lock as lock_module
from replay.dataset.generation import Pairs
from replay.dataset.journal import Journal, Parts
from replay.dataset.layout import DatasetLayout, Manifest, read_manifest, write_manifest
from replay.dataset.lock import HeldDataset, locked
from replay.dataset.places import Place
from replay.dataset.publish import publish, recover
from replay.dataset.rows import FAILED, SCHEMAS, STATE_NAMES, State, records
from replay.dataset.sources import find_sources
from support.datasets import TRACES, assert_clean, assert_equal, tables
from support.machines import dask_cluster, s3_server, s3_store, wait_for

NAMES = ("seed-unlimited", "fs-on-loop", "nested-unlimited")
POLICIES = ("root", "per-cgroup")
BATCH = "from replay.cli.main import main; main()"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # nobody but the tests' own processes wants the lock
    monkeypatch.setattr(lock_module, "BEAT_S", 0.2)
    with s3_server(monkeypatch) as address:
        yield address


def upload(bucket: str) -> None:
    """Put recordings, a trace file and scenarios into the bucket."""
    for name in NAMES:
        for path in (TRACES / name).iterdir():
            (Place.of(bucket) / "in" / name / path.name).write(path.read_bytes())
        scenario = TRACES / f"{name}.toml"
        (Place.of(bucket) / "in" / scenario.name).write(scenario.read_bytes())


def renamed(path: Path | str, old: str, new: str) -> dict[str, list[dict[str, object]]]:
    """A dataset's rows, with the names of traces and scenarios changed."""
    found = {}
    for name, table in tables(path).items():
        columns = [c for c in table.column_names if c != "run"]
        rows = table.select(columns).to_pylist()
        for row in rows:
            row["trace"] = row["trace"].replace(old, new)
            row["scenario"] = row["scenario"].replace(old, new)
        found[name] = rows
    return found


def test_inputs_and_outputs_on_an_object_store(bucket: str, tmp_path: Path) -> None:
    # GIVEN recordings and scenarios on an object store, and the same ones here
    upload(bucket)
    scenario = "seed-unlimited.toml"
    # WHEN they are replayed there and here
    report = replay.batch(
        f"{bucket}/in",
        f"{bucket}/in/{scenario}",
        output=f"{bucket}/out/tables",
        policies=POLICIES,
        jobs=2,
    )
    assert report.failures == []
    assert report.replayed == len(NAMES) * len(POLICIES)
    local = tmp_path / "in"
    local.mkdir()
    for name in NAMES:
        (local / name).symlink_to(TRACES / name)
    (local / scenario).symlink_to(TRACES / scenario)
    inputs = [local / name for name in NAMES]
    replay.batch(
        inputs, local / scenario, output=tmp_path / "out", policies=POLICIES, jobs=1
    )
    # THEN the tables are the same
    assert renamed(f"{bucket}/out/tables", bucket, "") == renamed(
        tmp_path / "out", str(tmp_path), ""
    )

    # WHEN nothing changed, THEN nothing is done
    again = replay.batch(
        f"{bucket}/in",
        f"{bucket}/in/{scenario}",
        output=f"{bucket}/out/tables",
        policies=POLICIES,
        jobs=1,
    )
    assert (again.replayed, again.kept) == (0, len(NAMES) * len(POLICIES))

    # WHEN a recording changes, THEN its pairs are replayed again, and what the tables
    # were made of before is gone
    ids = Place.of(bucket) / "in" / "fs-on-loop" / "ids"
    ids.write(ids.read().replace(b"/a", b"/other"))
    again = replay.batch(
        f"{bucket}/in/*loop",
        f"{bucket}/in/{scenario}",
        output=f"{bucket}/out/tables",
        policies=POLICIES,
        jobs=1,
    )
    assert again.again == {"their trace changed": 2}
    layout = DatasetLayout(Place.of(f"{bucket}/out/tables"))
    for name in SCHEMAS:
        files = [file.place.name for file in layout.table(name).files()]
        assert files == ["part-0002-00000.parquet"]
    assert layout.journal.files() == []
    assert layout.lock.find() is None


def test_inputs_there_and_output_here(bucket: str, tmp_path: Path) -> None:
    upload(bucket)
    report = replay.batch(
        f"{bucket}/in/seed-unlimited/loop0", output=tmp_path / "out", jobs=1
    )
    assert report.failures == []
    # a base name brings no file of names
    memory = replay.open_dataset(tmp_path / "out").table("memory")
    assert memory.num_rows == 2
    assert_clean(tmp_path / "out")


def test_what_is_not_there_is_told(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=f"{bucket}/none: no such file"):
        find_sources(f"{bucket}/none")
    with pytest.raises(TraceError, match=r"no such file"):
        find_sources(f"{bucket}/none*")
    with pytest.raises(OutputError, match=r"s3://nobody/out: cannot be written"):
        replay.batch(TRACES / "seed-unlimited", output="s3://nobody/out", jobs=1)
    (Place.of(bucket) / "mine" / "thesis.txt").write(b"dear")
    with pytest.raises(OutputError, match=r"holds 'thesis.txt'"):
        replay.batch(TRACES / "seed-unlimited", output=f"{bucket}/mine", jobs=1)
    with pytest.raises(ReplayError, match=r"nowhere://x: cannot be opened"):
        replay.batch("nowhere://x/y", output=tmp_path / "out", jobs=1)


def test_a_bad_recording_there_is_called_by_its_address(
    bucket: str, tmp_path: Path
) -> None:
    upload(bucket)
    (Place.of(bucket) / "in" / "bad" / "sda.blktrace.0").write(b"no recording" * 20)
    report = replay.batch(f"{bucket}/in", output=tmp_path / "out", jobs=1)
    assert [failure.trace for failure in report.failures] == [f"{bucket}/in/bad"]
    assert report.failures[0].error.startswith(f"{bucket}/in/bad/sda.blktrace.0: byte")


def test_a_batch_on_an_object_store_holds_it(bucket: str) -> None:
    layout = DatasetLayout(Place.of(f"{bucket}/out"))
    # GIVEN a batch that lives, THEN another one is refused
    with (
        locked(layout, beat_s=0.1, silence_s=5.0),
        pytest.raises(OutputError, match=f"process {os.getpid()} of .* is at work"),
        locked(layout, beat_s=0.1, silence_s=5.0),
    ):
        pass
    assert layout.lock.find() is None
    # GIVEN one that was killed, THEN another one takes over
    layout.lock.write(b'{"token": "dead", "beat": 7, "holder": "process 1 of moon"}')
    with locked(layout, beat_s=0.1, silence_s=0.5):
        assert b"moon" not in layout.lock.read()
    assert layout.lock.find() is None


def test_a_batch_that_was_taken_for_dead_does_not_go_on(bucket: str) -> None:
    layout = DatasetLayout(Place.of(f"{bucket}/out"))
    theirs = b'{"token": "new", "beat": 1, "holder": "process 2 of mars"}'
    # GIVEN a batch that holds a dataset, WHEN another one took it over
    with locked(layout, beat_s=0.1, silence_s=0.5) as held:
        held.check()
        layout.lock.write(theirs)
        time.sleep(0.3)
        # THEN it is told so before it replaces tables, and leaves the lock alone
        with pytest.raises(OutputError, match="process 2 of mars is at work"):
            held.check()
    assert layout.lock.read() == theirs


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (b'{"token": "new", "beat": 1, "holder": "a third"}', "a third is at work on"),
        (b"", "another batch took it over meanwhile and has ended"),
    ],
)
def test_a_batch_that_was_taken_for_dead_writes_nothing_more(
    bucket: str, monkeypatch: pytest.MonkeyPatch, lock: bytes, said: str
) -> None:
    upload(bucket)
    inputs, output = f"{bucket}/in", f"{bucket}/out"
    layout = DatasetLayout(Place.of(output))
    monkeypatch.setattr(lock_module, "SILENCE_S", 1.0)
    # who is stopped does not say that it lives
    monkeypatch.setattr(lock_module._Lease, "_renew", lambda lease: None)
    monkeypatch.setattr(journal_module, "FIRST_S", 0.0)
    seen: list[set[str]] = []

    def lose(done: int, total: int) -> None:
        # GIVEN a batch with a part of the journal behind it, which is stopped and cut
        # off for so long that another one takes over and ends
        if done > len(NAMES) and not seen:
            layout.lock.write(b'{"token": "dead", "beat": 7, "holder": "me"}')
            replay.batch(inputs, output=output, policies=POLICIES, jobs=1)
            if lock:
                layout.lock.write(lock)
            seen.append(objects(layout))

    # WHEN it goes on, THEN it is told so, and there is nothing new of it
    with pytest.raises(OutputError, match=said):
        replay.batch(inputs, output=output, policies=POLICIES, progress=lose, jobs=1)
    assert objects(layout) == seen[0]
    assert (layout.lock.read() if lock else layout.lock.find() or b"") == lock
    layout.lock.remove()
    # AND the tables are those of an undisturbed batch
    whole = f"{bucket}/whole"
    replay.batch(inputs, output=whole, policies=POLICIES, jobs=1)
    assert_equal(output, whole)


def test_tables_of_another_batch_are_not_replaced(bucket: str) -> None:
    # GIVEN a batch that believes to hold the dataset, and tables that came meanwhile
    layout = DatasetLayout(Place.of(f"{bucket}/out"))
    before = Manifest(generation=4)
    write_manifest(layout.manifest, Manifest(generation=7))
    Pairs.read(layout, 0).write(layout.pairs(4))
    # WHEN it publishes, THEN it is told so, and they stay
    with pytest.raises(OutputError, match="another batch has changed it meanwhile"):
        publish(layout, before, HeldDataset())
    assert read_manifest(layout.root).generation == 7


def objects(layout: DatasetLayout) -> set[str]:
    """All that lies in a dataset, with what changes if it is written again."""
    found = layout.root.files(below=True)
    return {f"{one.place} {one.stamp}" for one in found if one.place != layout.lock}


def test_what_one_taken_for_dead_still_writes_has_names_that_nobody_reads(
    bucket: str,
) -> None:
    # GIVEN a dataset whose batch was killed with some of its work in the journal
    layout = DatasetLayout(Place.of(f"{bucket}/out"))
    write_manifest(layout.manifest, Manifest(generation=0))
    Journal(layout, 0, 0).flush()
    journal = Journal(layout, 0, 0)
    journal.add(records([(failed("a"), "no reason")]))
    journal.flush()
    layout.lock.write(b'{"token": "dead", "beat": 7, "holder": "process 1 of moon"}')
    # WHEN another one takes it over
    with locked(layout, beat_s=0.1, silence_s=0.5) as held:
        manifest = recover(layout, held)
        # AND the first one lives, and writes on
        journal.add(records([(failed("zombie"), "no reason")]))
        journal.flush()
        # THEN the work is there, and what comes late is not
        assert manifest.generation == 2
        with Parts(layout, manifest.generation) as parts:
            assert [pair[0] for pair in parts.found] == ["a"]
        # AND with the next tables it is removed
        publish(layout, manifest, held)
        assert layout.journal.files() == []
    table = replay.open_dataset(f"{bucket}/out").table("runs")
    assert table["trace"].to_pylist() == ["a"]


def failed(trace: str) -> State:
    text = dict.fromkeys(STATE_NAMES, "")
    return State(**text | {"trace": trace, "scenario": "s", "status": FAILED})


def test_half_a_copy_of_a_trace_is_made_anew(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a converted trace on the store, cut off where a worker was killed
    output = f"{bucket}/out"
    replay.batch(TRACES / "seed-unlimited", output=output, jobs=1)
    layout = DatasetLayout(Place.of(output))
    (file,) = layout.traces.files()
    whole = file.place.read()
    file.place.write(whole[: len(whole) // 2])
    # WHEN it is needed again, THEN it is converted again
    report = replay.batch(
        TRACES / "seed-unlimited", output=output, policies=["root"], jobs=1
    )
    assert report.failures == []
    assert file.place.find() is not None
    with file.place.opened() as again:
        assert again.size() == len(whole)

    # GIVEN a copy that breaks off in this process, THEN nothing stays of it
    def breaks_off(source: BinaryIO, copy: BinaryIO, n_bytes: int) -> None:
        copy.write(source.read(100))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", breaks_off)
    (tmp_path / "some").write_bytes(whole)
    with pytest.raises(OSError, match="No space left"):
        (layout.traces / "some.arrow").put(tmp_path / "some")
    assert (layout.traces / "some.arrow").find() is None


def test_a_batch_killed_on_an_object_store_goes_on(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bucket)
    whole, output = f"{bucket}/whole", f"{bucket}/killed"
    monkeypatch.setenv("PYTHONPATH", str(Path(replay.__file__).parents[1]))
    options = [part for policy in POLICIES for part in ("--policy", policy)]
    command = [
        sys.executable,
        "-c",
        BATCH,
        "batch",
        f"{bucket}/in",
        *options,
        "-j",
        "1",
    ]
    # GIVEN a batch that is killed when some of it is in the journal, and others later
    first = subprocess.Popen([*command, "-o", output])
    layout = DatasetLayout(Place.of(output))
    wait_for(lambda: layout.journal.files() or first.poll() is not None)
    first.kill()
    first.wait()
    monkeypatch.setattr(lock_module, "SILENCE_S", 1.0)
    # WHEN the same one runs to its end
    traces = f"{bucket}/in"
    report = replay.batch(traces, output=output, policies=POLICIES, jobs=1)
    assert report.failures == []
    # THEN the dataset is that of an undisturbed one
    replay.batch(traces, output=whole, policies=POLICIES, jobs=1)
    assert_equal(output, whole)


def test_a_store_that_is_away_for_a_moment_costs_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock_module, "BEAT_S", 0.2)
    with s3_store(monkeypatch) as store:
        upload(store.address)
        traces, output = f"{store.address}/in", f"{store.address}/out"
        away: list[int] = []

        def leave(done: int, total: int) -> None:
            # GIVEN a store that dies when some of the work is done, and comes back
            if done and not away:
                away.append(done)
                store.stop()
                threading.Timer(0.7, store.start).start()

        report = replay.batch(traces, output=output, progress=leave, jobs=1)
        # THEN the batch waits for it, and nothing is lost
        assert away
        assert report.failures == []
        replay.batch(traces, output=f"{store.address}/whole", jobs=1)
        assert_equal(output, f"{store.address}/whole")


def test_a_cluster_gives_what_this_machine_gives(bucket: str, tmp_path: Path) -> None:
    upload(bucket)
    with dask_cluster(tmp_path / "dask") as cluster:
        # WHEN a cluster replays what lies here, and what lies on an object store
        report = replay.batch(
            TRACES,
            output=tmp_path / "there",
            policies=POLICIES,
            cluster=cluster.address,
        )
        assert report.failures == []
        remote = replay.batch(
            f"{bucket}/in",
            output=f"{bucket}/out",
            policies=POLICIES,
            cluster=cluster.address,
        )
        assert remote.failures == []
    # THEN the datasets are those that are made here
    replay.batch(TRACES, output=tmp_path / "here", policies=POLICIES, jobs=2)
    assert_equal(tmp_path / "there", tmp_path / "here")
    assert_clean(tmp_path / "there")
    replay.batch(f"{bucket}/in", output=f"{bucket}/here", policies=POLICIES, jobs=1)
    assert_equal(f"{bucket}/out", f"{bucket}/here")


def test_a_cluster_whose_worker_dies_does_its_work_all_the_same(tmp_path: Path) -> None:
    replay.batch(TRACES, output=tmp_path / "here", policies=POLICIES, jobs=2)
    with dask_cluster(tmp_path / "dask") as cluster:
        killed: list[int] = []

        def kill_one(done: int, total: int) -> None:
            # in the middle of the work, with jobs on every worker
            if done >= total // 3 and not killed:
                killed.append(cluster.workers[0].pid)
                cluster.workers[0].kill()

        report = replay.batch(
            TRACES,
            output=tmp_path / "there",
            policies=POLICIES,
            cluster=cluster.address,
            progress=kill_one,
        )
        assert cluster.workers[0].wait() == -9
    assert killed
    assert report.failures == []
    assert_equal(tmp_path / "there", tmp_path / "here")


def test_a_cluster_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="dask.distributed is not there")
    from replay.parallel import cluster

    monkeypatch.setattr(cluster, "PATIENCE_S", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ReplayError, match="no Dask scheduler answers"):
            replay.batch(
                TRACES / "seed-unlimited", output=tmp_path / "out", cluster=address
            )
