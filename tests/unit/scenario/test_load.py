import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from replay.common.errors import ScenarioError
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.values import TaskValues

LAB = """
[trace]
policy = "per-cgroup"
direct_io = false
kernel = "6.1"
devices = ["7:0"]

[driver]
policy = "naive"
direct_io = true
kernel = "6.12.117"
alloc_fail = { probability = 0.5, seed = 7, requests = [3, 1, 3] }

[arrivals]
event = "queue"
mode = "dependent"

[backing]
filesystem = "ext4"
size = "1G"
laid_out_by = "/builder"
device = "254:32"

[service]
model = "linear"
read = { base_ns = 90001, ns_per_byte = 0.25 }
write = { base_ns = 120001, ns_per_byte = 1 }
parallel = 4

[machine]
cpus = 8
memory = "2G"

[[assign]]
pid = 119
cgroup = "/a"

[[assign]]
comm = "java*"
device = "8:16"
volume = "v1"
cgroup = "/b"

[cgroups."/"]
io.cost.model = "254:32 ctrl=user model=linear rbps=1000"
io.cost.qos = "254:32 enable=1 rpct=95.00"

[cgroups."/test.slice"]
id = 23
memory.max = "64M"
memory.swap.max = "0"
memory.oom.group = 1
io.max = "254:32 wbps=4194304 riops=max"
io.weight = 200
io.latency = { "254:32" = "target=75000" }
controllers = ["memory", "io"]
tasks = [{ comm = "dd", rss = "1M" }, { pid = 5 }]
"""


def load(text: str, *overrides: str) -> Scenario:
    return Scenario.from_dict(
        tomllib.loads(text), source="lab.toml", overrides=overrides
    )


def test_default_scenario_is_the_merged_driver_without_limits() -> None:
    scenario = Scenario.load()
    assert scenario.driver.policy is None  # the kernel's own
    assert scenario.driver.kernel is None
    assert scenario.arrivals.event == "queue"
    assert scenario.arrivals.mode == "auto"
    assert scenario.service.model == "auto"
    assert scenario.backing.size is None
    assert scenario.cgroups == ()
    # what the trace decides is open
    assert scenario.trace.policy is None
    assert scenario.driver.direct_io is None
    assert scenario.backing.filesystem is None


def test_every_key_of_the_design_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(LAB)
    scenario = Scenario.load(path)
    assert scenario.source == str(path)
    assert scenario.trace.devices == (7 << 20,)
    assert scenario.driver.policy == "naive"
    assert scenario.driver.alloc_fail.requests == (1, 3)
    assert scenario.backing.size == 1 << 30
    assert scenario.backing.device == 254 << 20 | 32
    assert scenario.service.read.ns_per_byte == 0.25
    assert scenario.service.write.ns_per_byte == 1.0
    assert [rule.cgroup for rule in scenario.assign] == ["/a", "/b"]
    root, cgroup = scenario.cgroups
    assert root.path == "/"
    assert cgroup.id == 23
    assert cgroup.memory_max == 64 << 20
    assert cgroup.memory_swap_max == 0
    assert cgroup.memory_oom_group is True
    assert cgroup.io_max == ((254 << 20 | 32, (("wbps", "4194304"), ("riops", "max"))),)
    assert cgroup.io_weight == ((None, 200),)
    assert cgroup.io_latency == ((254 << 20 | 32, (("target", "75000"),)),)
    assert cgroup.tasks == (
        TaskValues(comm="dd", pid=None, rss=1 << 20, oom_score_adj=0, always=False),
        TaskValues(comm=None, pid=5, rss=0, oom_score_adj=0, always=False),
    )


@pytest.mark.parametrize("text", ["", LAB])
def test_effective_scenario_is_json_and_makes_the_same_scenario(text: str) -> None:
    scenario = load(text)
    effective = json.loads(json.dumps(scenario.effective()))
    assert Scenario.from_dict(effective) == scenario


def test_effective_scenario_shows_values_as_they_would_be_written() -> None:
    effective: Any = load(LAB).effective()
    assert effective["trace"]["devices"] == ["7:0"]
    assert effective["driver"]["kernel"] == "6.12.117"
    assert effective["backing"]["size"] == "1G"
    cgroup = effective["cgroups"]["/test.slice"]
    assert cgroup["memory.max"] == "64M"
    assert cgroup["memory.high"] == "max"
    assert cgroup["io.max"] == {"254:32": "wbps=4194304 riops=max"}


@pytest.mark.parametrize(
    "text",
    [
        '[cgroups."/x"]\nmemory.max = "64M"',
        '[cgroups."/x"]\n"memory.max" = "64M"',
        '[cgroups."/x".memory]\nmax = 67108864',
        '[cgroups]\n"/x" = { memory = { max = "0x4000000" } }',
    ],
)
def test_interface_file_may_be_a_dotted_or_a_quoted_key(text: str) -> None:
    assert load(text).cgroups[0].memory_max == 64 << 20


@pytest.mark.parametrize(
    "value",
    [
        '"254:32 wbps=4194304 riops=max"',
        '{ "254:32" = "wbps=4194304 riops=max" }',
        '{ "254:32" = { wbps = 4194304, riops = "max" } }',
        '"254:32 wbps=4194304\\n254:32 riops=max\\n"',
        # as every other size; the kernel's file takes digits alone
        '"254:32 wbps=4M riops=max"',
        '{ "254:32" = { wbps = "4096k", riops = "max" } }',
    ],
)
def test_io_max_may_be_the_file_s_text_or_a_table_by_device(value: str) -> None:
    cgroup = load(f'[cgroups."/x"]\nio.max = {value}').cgroups[0]
    assert cgroup.io_max == ((254 << 20 | 32, (("wbps", "4194304"), ("riops", "max"))),)


@pytest.mark.parametrize(
    ("value", "weights"),
    [
        ("250", ((None, 250),)),
        ('"250"', ((None, 250),)),
        ('"default 250"', ((None, 250),)),
        ('"8:0 300"', ((None, 100), (8 << 20, 300))),
        ('"8:0 300\\n8:0 default"', ((None, 100),)),
        ('"8:0 300\\ndefault 250"', ((None, 250), (8 << 20, 300))),
    ],
)
def test_io_weight_may_be_a_number_or_the_file_s_text(value: str, weights: Any) -> None:
    assert load(f'[cgroups."/x"]\nio.weight = {value}').cgroups[0].io_weight == weights


def test_scenario_cannot_be_changed() -> None:
    scenario = Scenario.load()
    with pytest.raises(AttributeError):
        scenario.driver.policy = "root"  # type: ignore[misc]


def test_rss_beyond_any_machine_is_refused() -> None:
    cgroups = {"/a": {"tasks": [{"comm": "dd", "rss": (1 << 50) + 1}]}}
    with pytest.raises(ScenarioError, match=r"tasks\[0\]\.rss"):
        Scenario.from_dict({"cgroups": cgroups})
