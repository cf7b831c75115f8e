"""``--set KEY=VALUE`` over a scenario file."""

import tomllib
from typing import Any

import pytest

from replay.common.errors import ScenarioError
from replay.scenario.keys.load import Scenario

LAB = """
[trace]
devices = ["7:0"]

[driver]
policy = "naive"
kernel = "6.12.117"
direct_io = true

[service]
read = { base_ns = 90001, ns_per_byte = 0.25 }

[cgroups."/test.slice"]
memory.max = "64M"
memory.swap.max = "0"
tasks = [{ comm = "dd", rss = "1M" }, { pid = 5 }]
"""


def load(*overrides: str) -> Scenario:
    return Scenario.from_dict(
        tomllib.loads(LAB), source="lab.toml", overrides=overrides
    )


def refusal(*overrides: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(*overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("driver.polcy=root", "unknown key; did you mean driver.policy?"),
        (
            "driver.policy=foo",
            '"foo" is not one of root, naive, per-cgroup, enospc, synchronous, '
            "instance, backcharge, pass-through",
        ),
        (
            "driver.policy",
            "not KEY=VALUE, such as driver.policy=root or /test.slice/memory.max=64M",
        ),
        (
            "=root",
            "not KEY=VALUE, such as driver.policy=root or /test.slice/memory.max=64M",
        ),
        ("/a/memory.max", "no =VALUE, such as /test.slice/memory.max=64M"),
        (
            "/a/memory.mx=5",
            '"memory.mx" is not a cgroup\'s interface file; '
            "did you mean /a/memory.max?",
        ),
        (
            "/a/memory.max=64Q",
            '"64Q" is not a size such as 65536, 64K, 64M, 1G or max',
        ),
        ("/memory.max=5", '"/" has none; see machine.memory'),
        (
            "service.read={base_nz=1}",
            "service.read.base_nz: unknown key; did you mean service.read.base_ns?",
        ),
        ("assign=5", "5 stands where a list of tables belongs"),
        ("cgroups=5", "5 stands where a table belongs"),
        (
            'cgroups."/a".memory.max=x',
            '"x" is not a size such as 65536, 64K, 64M, 1G or max',
        ),
    ],
)
def test_error_in_an_override_names_the_argument(argument: str, message: str) -> None:
    assert refusal(argument) == f"--set {argument}: {message}"


@pytest.mark.parametrize("argument", ["driver.policy=a\nb", "a\nb=5", "x" * 5000])
def test_error_in_an_override_is_one_short_line(argument: str) -> None:
    message = refusal(argument)
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize(
    ("argument", "section", "key", "value"),
    [
        ("driver.policy=root", "driver", "policy", "root"),
        (' driver.policy = "root" ', "driver", "policy", "root"),
        # not the number 6.1
        ("driver.kernel=6.10", "driver", "kernel", "6.10"),
        ("driver.direct_io=false", "driver", "direct_io", False),
        ("trace.devices=7:0,7:1", "trace", "devices", ["7:0", "7:1"]),
        ('trace.devices=["7:1"]', "trace", "devices", ["7:1"]),
        ("backing.size=64K", "backing", "size", "64K"),
        ("backing.size=010", "backing", "size", "8"),
        ("backing.laid_out_by=/x y", "backing", "laid_out_by", "/x y"),
        ("service.parallel=3", "service", "parallel", 3),
    ],
)
def test_override_sets_a_key_over_the_file(
    argument: str, section: str, key: str, value: object
) -> None:
    effective: Any = load(argument).effective()
    assert effective[section][key] == value


def test_override_of_a_table_leaves_its_other_keys() -> None:
    scenario = load("service.read={ base_ns = 5 }")
    assert scenario.service.read.base_ns == 5
    assert scenario.service.read.ns_per_byte == 0.25


def test_last_override_wins() -> None:
    scenario = load("driver.policy=root", "driver.policy=per-cgroup")
    assert scenario.driver.policy == "per-cgroup"


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("/test.slice/memory.max=1G", "/test.slice"),
        ("/new/deeper/memory.max=1G", "/new/deeper"),
        # a cgroup's name may hold "=" and even look like a file
        ("/a=b/memory.max=1G", "/a=b"),
        ("/memory.max/memory.max=1G", "/memory.max"),
        ('cgroups."/test.slice".memory.max=1G', "/test.slice"),
    ],
)
def test_override_sets_a_cgroup_s_interface_file(argument: str, path: str) -> None:
    limits = {cgroup.path: cgroup.memory_max for cgroup in load(argument).cgroups}
    assert limits[path] == 1 << 30


def test_override_of_one_file_leaves_the_cgroup_s_others() -> None:
    (cgroup,) = load("/test.slice/memory.max=1G").cgroups
    assert cgroup.memory_swap_max == 0
    assert len(cgroup.tasks) == 2


def test_override_may_hold_equal_signs_and_tables() -> None:
    scenario = load(
        "/a/io.max=8:0 wbps=1048576 riops=5",
        '/a/tasks=[{comm="dd",rss="1M"}]',
        'assign=[{comm="dd",cgroup="/a"}]',
    )
    assert scenario.cgroups[0].io_max == (
        (8 << 20, (("wbps", "1048576"), ("riops", "5"))),
    )
    assert scenario.cgroups[0].tasks[0].rss == 1 << 20
    assert scenario.assign[0].cgroup == "/a"
