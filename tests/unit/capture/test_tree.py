"""Reading cgroup trees: live ones, copies, and what was saved flat."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from replay.capture.live import is_mounted, read_ids, read_live, read_task
from replay.capture.saved import flat_name, read_ids_file, read_tree, save_tree
from replay.common.errors import CaptureError
from replay.scenario.writing.found_tree import FoundCgroup, FoundTask, in_order, merged
from support.machines import FakeMachine, make_machine


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return make_machine(tmp_path)


def refusal(directory: Path) -> str:
    with pytest.raises(CaptureError) as caught:
        read_tree(directory)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{directory}: ")


def test_live_tree_gives_ids_limits_controllers_and_tasks(fake: FakeMachine) -> None:
    tree = read_tree(fake.cgroups, proc=fake.machine.proc)
    assert list(tree) == ["/", "/a", "/p", "/p/b"]
    b = tree["/p/b"]
    assert b.id == (fake.cgroups / "p" / "b").stat().st_ino
    assert b.files["io.weight"] == "default 300\n"
    assert b.controllers() == {"io", "memory"}
    # a pid that is gone is no task
    assert b.tasks == (
        FoundTask(pid=41, comm="java", rss=2048 << 10, oom_score_adj=300, threads=2),
        FoundTask(pid=42, comm="java", rss=1024 << 10, threads=2),
    )
    # nor is a kernel thread
    assert [task.comm for task in tree["/"].tasks] == ["sh"]


def test_part_of_a_live_tree_comes_with_the_cgroups_above(fake: FakeMachine) -> None:
    tree = read_tree(fake.cgroups / "p" / "b", proc=fake.machine.proc)
    assert list(tree) == ["/", "/p", "/p/b"]


def test_cgroup_that_goes_while_it_is_read_is_left_out(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN /a loses its directory after it was listed
    stat = Path.stat

    def gone(path: Path, *, follow_symlinks: bool = True) -> object:
        if path.name == "a":
            shutil.rmtree(path, ignore_errors=True)
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", gone)
    tree = read_live(fake.cgroups, proc=fake.machine.proc)
    assert list(tree) == ["/", "/p", "/p/b"]


def test_copy_of_a_tree_has_ids_only_from_a_file(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN a copy, whose inodes say nothing
    copy = tmp_path / "copy" / "tree"
    shutil.copytree(fake.cgroups, copy)
    assert {cgroup.id for cgroup in read_tree(copy).values()} == {None}
    assert not any(cgroup.tasks for cgroup in read_tree(copy).values())
    # WHEN a file of ids lies beside it
    (tmp_path / "copy" / "ids").write_text("1 /\n23 /a\n")
    # THEN they count
    tree = read_tree(copy)
    assert [cgroup.id for cgroup in tree.values()] == [1, 23, None, None]


def test_name_that_is_not_utf8_is_spelt_as_the_trace_file_spells_it(
    fake: FakeMachine,
) -> None:
    place = fake.cgroups / "odd\udcff name"
    place.mkdir()
    (place / "cgroup.controllers").write_text("io\n")
    assert r"/odd\xff name" in read_tree(fake.cgroups, proc=fake.machine.proc)
    assert r"/odd\xff name" in read_ids(fake.cgroups).values()


@pytest.mark.parametrize(
    ("lines", "live"),
    [
        ("1 0 0:30 / {d} rw - cgroup2 none rw", True),
        ("1 0 0:30 / / rw - cgroup2 none rw", True),
        ("1 0 0:30 / {d} rw - cgroup2 none rw\n2 1 8:1 / {d} rw - ext4 x rw", False),
        ("1 0 0:30 / {d}x rw - cgroup2 none rw", False),
        ("1 0 8:1 / / rw - ext4 x rw", False),
        ("nonsense\n1 2 - cgroup2", False),
        ("", False),
    ],
)
def test_live_is_what_lies_under_a_mount_of_cgroup2(
    tmp_path: Path, lines: str, live: bool
) -> None:
    directory = tmp_path / "a b"
    (tmp_path / "self").mkdir()
    escaped = str(directory).replace(" ", r"\040")
    (tmp_path / "self" / "mountinfo").write_text(lines.format(d=escaped))
    assert is_mounted(directory, tmp_path) is live
    assert not is_mounted(directory, tmp_path / "absent")


def test_rss_of_an_old_kernel_is_the_sum(fake: FakeMachine) -> None:
    place = fake.machine.proc / "41"
    (place / "status").write_text("Name: x\nVmRSS: 8 kB\n")
    task = read_task(41, fake.machine.proc)
    assert task is not None
    assert task.rss == 8192
    (place / "status").write_text("VmRSS: many kB\n")
    assert read_task(41, fake.machine.proc) is None


def test_tree_that_is_saved_flat_is_read_back(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN names that collide when they are made flat, one that is too long for a
    # file, and a task with spaces in its name
    fake.cgroup("/p__b", {"memory.max": "1\n"})
    fake.cgroup("/root", {"memory.max": "2\n"})
    fake.cgroup(f"/{'x' * 200}/{'y' * 200}", {"memory.max": "3\n"})
    fake.cgroup(f"/{'x' * 200}", {"memory.max": "4\n"})
    fake.process(50, "tmux: server\x01")
    fake.cgroup("/a", {"cgroup.procs": "50\n"})
    tree = read_tree(fake.cgroups, proc=fake.machine.proc)
    out = tmp_path / "out"
    out.mkdir()
    (out / "ids").write_text("".join(f"{c.id} {c.path}\n" for c in tree.values()))
    # WHEN saved and read
    save_tree(tree, out / "end")
    # THEN nothing of it is lost: it may be named by the recording, or by its part
    for place in (out, out / "end"):
        again = read_tree(place)
        assert in_order(again) == in_order(tree)
        for path, cgroup in tree.items():
            assert again[path].id == cgroup.id
            assert again[path].tasks == cgroup.tasks
            assert again[path].controllers() == cgroup.controllers()
            assert again[path].files.get("memory.max") == cgroup.files.get("memory.max")


def test_recordings_of_the_lab_are_read(recording: Callable[[str], Path]) -> None:
    nested = read_tree(recording("nested-unlimited"))
    assert {path: cgroup.id for path, cgroup in nested.items()} == {
        "/": 1,
        "/p": 23,
        "/p/a": 59,
        "/p/b": 95,
    }
    assert nested["/p"].files["memory.swap.max"] == "0\n"
    # the io controller was off: there is no file of it
    off = read_tree(recording("workers-root") / "begin")
    assert off["/a"].controllers() == {"memory"}
    assert off["/"].controllers() == {"io", "memory"}


def test_limits_are_those_of_the_end_and_tasks_those_of_both() -> None:
    def cgroup(path: str, limit: str, *pids: int) -> FoundCgroup:
        tasks = tuple(FoundTask(pid=pid, comm=limit, rss=0) for pid in pids)
        return FoundCgroup(path=path, files={"memory.max": limit}, tasks=tasks)

    begin = {"/a": cgroup("/a", "1", 5, 6), "/gone": cgroup("/gone", "2", 7)}
    end = {"/a": cgroup("/a", "3", 6, 4), "/new": cgroup("/new", "4")}
    found = merged(begin, end)
    assert set(found) == {"/a", "/gone", "/new"}
    assert found["/a"].files == {"memory.max": "3"}
    tasks = [(task.pid, task.comm) for task in found["/a"].tasks]
    assert tasks == [(4, "3"), (5, "1"), (6, "3")]


def test_what_holds_no_tree_is_refused_in_one_line(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nope") == "no such directory"
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == "is not a directory"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == (
        "holds no tree of cgroup v2: neither cgroup.controllers nor begin/ or end/"
    )
    (tmp_path / "rec" / "begin").mkdir(parents=True)
    assert refusal(tmp_path / "rec").startswith("holds no tree of cgroup v2")


def test_cgroup_v1_is_refused_by_that_name(tmp_path: Path) -> None:
    old = tmp_path / "old"
    (old / "memory").mkdir(parents=True)
    (old / "memory" / "cgroup.procs").touch()
    (old / "memory" / "tasks").touch()
    assert refusal(old).startswith("is of cgroup v1: boot with")
    assert refusal(old / "memory").startswith("is of cgroup v1: boot with")
    # AND where version 2 is mounted beside it, that is named
    (old / "unified").mkdir()
    (old / "unified" / "cgroup.controllers").touch()
    assert refusal(old) == (
        f"is of cgroup v1; the tree of cgroup v2 is {old / 'unified'}"
    )


def test_flat_names_are_the_labs() -> None:
    assert flat_name("/") == "root"
    assert flat_name("/p/a") == "p__a"
    long = "/" + "ä" * 200
    assert len(flat_name(long).encode()) <= 255
    assert flat_name(long) != flat_name(long + "x")


def test_lines_that_are_no_ids_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_text("# by hand\n\n1 /\nx /a\n5 b\n7\n9 /c d\n")
    assert read_ids_file(path) == {1: "/", 9: "/c d"}
    assert read_ids_file(tmp_path / "nope") == {}
