"""What is written for a cgroup tree loads as a scenario and says the same."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from replay.scenario.keys.kernel_rules import policy_of
from replay.scenario.keys.load import Scenario
from replay.scenario.writing.cgroups import machine_toml, scenario_toml
from replay.scenario.writing.found_loops import Loop
from replay.scenario.writing.found_tree import LIMITS, FoundCgroup, FoundTask, Tree

BOTH = {"cgroup.controllers": "cpuset cpu io memory pids\n"}


def cgroup(path: str, id_: int | None = None, **more: Any) -> FoundCgroup:
    files = {name.replace("_", "."): text for name, text in more.items()}
    tasks = files.pop("tasks", ())
    return FoundCgroup(path=path, id=id_, files=BOTH | files, tasks=tasks)


def tree(*cgroups: FoundCgroup) -> Tree:
    return {one.path: one for one in cgroups}


def loaded(found: Tree) -> Scenario:
    return Scenario.from_dict(tomllib.loads(scenario_toml(found, "test")))


def test_only_what_says_something_is_written() -> None:
    # GIVEN every file at what the kernel has from the start
    start = {
        "memory_max": "max\n",
        "memory_high": "max\n",
        "memory_low": "0\n",
        "memory_min": "0\n",
        "memory_swap_max": "max\n",
        "memory_oom_group": "0\n",
        "io_max": "",
        "io_weight": "default 100\n",
        "io_latency": "",
    }
    found = tree(cgroup("/", 1), cgroup("/a", 23, **start), cgroup("/a/b"))
    assert scenario_toml(found, "three\ncgroups") == (
        '# three?cgroups\n\n[cgroups."/"]\nid = 1\n\n[cgroups."/a"]\nid = 23\n\n'
        '[cgroups."/a/b"]\n'
    )


def test_every_limit_comes_through() -> None:
    scenario = loaded(
        tree(
            cgroup(
                "/",
                1,
                io_cost_model="8:0 ctrl=user model=linear rbps=1000 rseqiops=2 "
                "rrandiops=3 wbps=4 wseqiops=5 wrandiops=6\n",
                io_cost_qos="8:0 enable=1 ctrl=user rpct=95.00 rlat=75000 "
                "wpct=95.00 wlat=150000 min=50.00 max=150.00\n",
                # the root has no such limit, whatever stands there
                memory_max="4096\n",
            ),
            cgroup(
                "/a",
                23,
                memory_max="67108864\n",
                memory_high="67112960\n",
                memory_low="4096\n",
                memory_min="5000\n",
                memory_swap_max="0\n",
                memory_oom_group="1\n",
                io_max="8:0 rbps=max wbps=4194304 riops=max wiops=max\n"
                "7:0 rbps=1 wbps=max riops=max wiops=max\n",
                io_weight="default 300\n8:0 50\n",
                io_latency="8:0 target=75000\n",
            ),
        )
    )
    root, a = scenario.cgroups
    assert (root.path, root.id, root.memory_max) == ("/", 1, None)
    assert dict(root.io_cost_model[0][1])["rbps"] == "1000"
    assert dict(root.io_cost_qos[0][1])["rlat"] == "75000"
    assert (a.memory_max, a.memory_high) == (64 << 20, (64 << 20) + 4096)
    assert (a.memory_low, a.memory_min, a.memory_swap_max) == (4096, 5000, 0)
    assert a.memory_oom_group
    assert dict(a.io_max)[8 << 20] == (
        *(("rbps", "max"), ("wbps", "4194304")),
        *(("riops", "max"), ("wiops", "max")),
    )
    assert a.io_weight == ((None, 300), (8 << 20, 50))
    assert a.io_latency == ((8 << 20, (("target", "75000"),)),)


def test_cost_control_without_latency_targets_comes_through() -> None:
    # GIVEN what the kernel shows for a device whose cost control is off
    line = "8:0 enable=0 ctrl=auto rpct=0.00 rlat=0 wpct=0.00 wlat=0 min=1.00 max=9.00"
    (root,) = loaded(tree(cgroup("/", 1, io_cost_qos=f"{line}\n"))).cgroups
    assert dict(root.io_cost_qos[0][1])["rlat"] == "0"


def test_controllers_are_written_where_they_are_not_the_parents() -> None:
    # GIVEN io that ends at /a/b, with a limit left from before, and a tree that
    # changed while it was read: /a/b/c says io although /a/b has none
    only = {"cgroup.controllers": "memory\n"}
    b = FoundCgroup(path="/a/b", files=only | {"io.weight": "default 200\n"})
    found = tree(cgroup("/"), cgroup("/a"), b, cgroup("/a/b/c"))
    text = scenario_toml(found, "test")
    assert text.count("controllers") == 1
    assert '[cgroups."/a/b"]\ncontrollers = ["memory"]\n' in text
    assert "io.weight" not in text
    assert len(Scenario.from_dict(tomllib.loads(text)).cgroups) == 4


def test_task_is_told_by_its_name_or_where_two_have_it_by_its_pid() -> None:
    tasks = (
        FoundTask(pid=5, comm="java", rss=3 << 20, oom_score_adj=-900, threads=40),
        FoundTask(pid=6, comm="java", rss=1000),
        FoundTask(pid=7, comm="[x]*?", rss=0),
        FoundTask(pid=8, comm="\x1b[m", rss=0),
        FoundTask(pid=2**31, comm="far", rss=0),
    )
    found = tree(cgroup("/a", tasks=tasks))
    (a,) = loaded(found).cgroups
    assert [(task.comm, task.pid, task.rss) for task in a.tasks] == [
        ("java", 5, 3 << 20),
        ("java", 6, 1000),
        ("[[]x][*][?]", None, 0),
        (None, 8, 0),
        ("far", None, 0),
    ]
    text = scenario_toml(found, "test")
    assert 'rss = "3M", oom_score_adj = -900 },  # 40 threads\n' in text
    assert 'rss = "0" },  # pid 7\n' in text


def test_what_a_damaged_file_holds_is_a_comment() -> None:
    found = tree(
        cgroup("/a", memory_max="many\x1b\nmore", io_max="8:0 wbps", io_weight="x")
    )
    text = scenario_toml(found, "test")
    assert "# memory.max: not understood: many??more\n" in text
    assert loaded(found).cgroups[0].memory_max is None


def test_id_that_stands_twice_is_given_to_the_first() -> None:
    scenario = loaded(tree(cgroup("/a", 5), cgroup("/b", 5), cgroup("/c", 0)))
    assert [one.id for one in scenario.cgroups] == [5, None, None]


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\n\0"), min_size=1, max_size=5
).filter(lambda name: name not in (".", ".."))
# nearly what the kernel writes, and nothing like it
WORDS = st.sampled_from(
    [
        *("wbps=9", "riops=max", "rbps=0", "target=5", "target=0", "7:0", "4096:1"),
        *("ctrl=auto", "enable=1", "rpct=95.00", "rlat=0", "min=1", "max=9" * 9),
        *("model=linear", "wseqiops=7", "default", "10001"),
    ]
)
LINE = st.lists(WORDS, max_size=4).map(" ".join)
DEVICE_LINE = st.tuples(
    st.sampled_from(["7:0", "8:1", "4095:1048575", "4096:0", "default"]), LINE
).map(" ".join)
TEXT = st.one_of(
    st.text(max_size=9),
    st.integers(0, 2**70).map(str),
    st.sampled_from(["io memory", "memory", "max", "0", "1", "default 300"]),
    st.lists(DEVICE_LINE, max_size=3).map("\n".join),
)
FILES = st.dictionaries(st.sampled_from(["cgroup.controllers", *LIMITS]), TEXT)


@given(
    st.dictionaries(
        st.lists(NAMES, max_size=3).map(lambda names: "/" + "/".join(names)),
        st.tuples(FILES, st.integers(0, 2**65), st.text(max_size=15)),
        max_size=6,
    )
)
def test_any_tree_makes_a_scenario_of_its_cgroups(
    cgroups: dict[str, tuple[dict[str, str], int, str]],
) -> None:
    # GIVEN any names, whatever stands in the files, and any name of a task
    found = {
        path: FoundCgroup(
            path=path,
            id=number,
            files=files,
            tasks=(FoundTask(pid=1, comm=comm, rss=4096),),
        )
        for path, (files, number, comm) in cgroups.items()
    }
    # THEN it loads, and has every cgroup
    assert {one.path for one in loaded(found).cgroups} == set(found)


def machine(*loops: Loop, release: str = "6.1.0-56-cloud-amd64") -> Scenario:
    text = "\n".join(machine_toml(loops, release))
    return Scenario.from_dict(tomllib.loads(text))


BUFFERED = Loop(
    name="loop0", file="/t/x", direct_io=False, filesystem="tmpfs", size=64 << 20
)
DIRECT = Loop(
    name="loop1", file="/e/x", direct_io=True, filesystem="ext4", device="254:32"
)


def test_loop_device_says_how_it_was_traced_and_what_lies_below() -> None:
    scenario = machine(DIRECT)
    assert scenario.trace.policy == "per-cgroup"
    assert str(scenario.trace.kernel) == "6.1.0-56-cloud-amd64"
    assert scenario.trace.direct_io is scenario.driver.direct_io is True
    assert scenario.backing.filesystem == "ext4"
    assert scenario.backing.device == 254 << 20 | 32
    scenario = machine(BUFFERED)
    assert scenario.driver.direct_io is False
    assert (scenario.backing.filesystem, scenario.backing.size) == ("tmpfs", 64 << 20)


def test_loop_devices_that_differ_leave_it_to_the_user() -> None:
    scenario = machine(BUFFERED, DIRECT)
    assert scenario.driver.direct_io is None
    assert scenario.backing.filesystem is None
    text = "\n".join(machine_toml([BUFFERED, DIRECT], "6.1.0"))
    assert "# loop0: /t/x on tmpfs, buffered\n# loop1: /e/x on ext4, direct\n" in text


def test_driver_before_5_14_was_that_of_the_root() -> None:
    scenario = machine(BUFFERED, release="5.10.0-30-amd64")
    # AND a replay of it is one of that driver, too, as nobody asks for another
    assert (scenario.trace.policy, scenario.driver.policy) == ("root", None)
    assert scenario.driver.kernel is not None
    assert policy_of(scenario.driver.kernel) == "root"


def test_other_file_system_on_a_disk_is_taken_as_ext4() -> None:
    xfs = Loop(name="loop0", file="/x", direct_io=False, filesystem="xfs")
    assert machine(xfs).backing.filesystem == "ext4"
    unseen = Loop(name="loop0", file="/x\x1b (deleted)", direct_io=False)
    assert machine(unseen).backing.filesystem is None


def test_without_a_loop_device_only_the_kernel_is_said() -> None:
    scenario = machine(release="6.12.117+deb12-cloud-amd64")
    assert str(scenario.trace.kernel) == "6.12.117+deb12-cloud-amd64"
    assert scenario.trace.policy is None
    assert machine(release="plan9") == Scenario.from_dict({})
