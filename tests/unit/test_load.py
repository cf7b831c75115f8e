import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from replay.errors import ScenarioError
from replay.scenario import Scenario
from replay.scenario.values import TaskValues

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


def refusal(text: str = "", *overrides: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(text, *overrides)
    return str(caught.value)


def test_default_scenario_is_the_merged_driver_without_limits() -> None:
    scenario = Scenario.load()
    assert scenario.driver.policy == "per-cgroup"
    assert scenario.driver.kernel == (6, 1, 0)
    assert scenario.arrivals.event == "issue"
    assert scenario.arrivals.mode == "recorded"
    assert scenario.service.model == "recorded"
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
        TaskValues(comm="dd", pid=None, rss=1 << 20),
        TaskValues(comm=None, pid=5, rss=0),
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
        ('"8:0 300\\ndefault 250"', ((None, 250), (8 << 20, 300))),
    ],
)
def test_io_weight_may_be_a_number_or_the_file_s_text(value: str, weights: Any) -> None:
    assert load(f'[cgroups."/x"]\nio.weight = {value}').cgroups[0].io_weight == weights


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[driver]\npolcy = "root"',
            "lab.toml: driver.polcy: unknown key; did you mean driver.policy?",
        ),
        (
            'policy = "root"',
            "lab.toml: policy: unknown key; "
            "did you mean trace.policy or driver.policy?",
        ),
        ("[drivr]", "lab.toml: drivr: unknown key; did you mean driver?"),
        (
            '[driver]\nmode = "dependent"',
            "lab.toml: driver.mode: unknown key; did you mean arrivals.mode?",
        ),
        (
            "[service]\nzzz = 1",
            "lab.toml: service.zzz: unknown key; one of service.model, "
            "service.read.base_ns, service.read.ns_per_byte, service.write.base_ns, "
            "service.write.ns_per_byte, service.parallel",
        ),
        (
            "zzz = 1",
            "lab.toml: zzz: unknown key; one of trace, driver, arrivals, backing, "
            "service, machine, assign, cgroups",
        ),
        ("driver = 5", "lab.toml: driver: 5 stands where a table belongs"),
        (
            '[driver]\npolicy = "backcharge"',
            'lab.toml: driver.policy: "backcharge" is not modelled yet; one of root, '
            "naive, per-cgroup",
        ),
        (
            '[trace]\npolicy = "Root"',
            'lab.toml: trace.policy: "Root" is not one of root, naive, per-cgroup',
        ),
        (
            "[driver]\nkernel = 6.1",
            "lab.toml: driver.kernel: 6.1 is not a text; put it in quotes",
        ),
        (
            '[driver]\nkernel = "6.1-rc1"',
            'lab.toml: driver.kernel: "6.1-rc1" is not a kernel version such as 6.1 '
            "or 6.12.117",
        ),
        (
            "[driver]\nalloc_fail = { probability = 1.5 }",
            "lab.toml: driver.alloc_fail.probability: 1.5 is more than 1",
        ),
        (
            "[driver]\nalloc_fail = { probability = nan }",
            "lab.toml: driver.alloc_fail.probability: nan is not a number",
        ),
        (
            "[driver]\nalloc_fail = { requests = [-1] }",
            "lab.toml: driver.alloc_fail.requests: -1 is less than 0",
        ),
        (
            '[driver]\ndirect_io = "yes"',
            'lab.toml: driver.direct_io: "yes" is not true or false',
        ),
        ("[trace]\ndevices = []", "lab.toml: trace.devices: names no device"),
        (
            '[trace]\ndevices = ["loop0"]',
            "lab.toml: trace.devices: 'loop0' is not MAJOR:MINOR, for example 7:0",
        ),
        (
            '[backing]\nsize = "64 MB"',
            'lab.toml: backing.size: "64 MB" is not a size such as 65536, 64K, 64M, 1G '
            "or max",
        ),
        ("[backing]\nsize = 0", "lab.toml: backing.size: 0 is less than 1"),
        (
            '[backing]\nlaid_out_by = "a"',
            'lab.toml: backing.laid_out_by: "a" does not begin with "/"',
        ),
        (
            "[service]\nread = { base_ns = 1.5 }",
            "lab.toml: service.read.base_ns: 1.5 is not a whole number",
        ),
        (
            "[service]\nread = { ns_per_byte = inf }",
            "lab.toml: service.read.ns_per_byte: inf is more than 2000",
        ),
        (
            "[machine]\ncpus = true",
            "lab.toml: machine.cpus: true is not a whole number",
        ),
        ("assign = 5", "lab.toml: assign: 5 stands where a list of tables belongs"),
        (
            "[[assign]]\npid = 1",
            'lab.toml: assign[0]: no cgroup, such as cgroup = "/a"',
        ),
        (
            '[[assign]]\ncgroup = "/a"\n[[assign]]\npdi = 1\ncgroup = "/a"',
            "lab.toml: assign[1].pdi: unknown key; did you mean assign[1].pid?",
        ),
        (
            '[cgroups."test.slice"]\nid = 1',
            'lab.toml: cgroups."test.slice": the path does not begin with "/"; '
            'did you mean "/test.slice"?',
        ),
        (
            '[cgroups."/a"]\nmemory.mx = 1',
            'lab.toml: cgroups."/a".memory.mx: unknown key; did you mean '
            'cgroups."/a".memory.max?',
        ),
        (
            '[cgroups."/a"]\nmemory.max = 1\n"memory.max" = 1',
            'lab.toml: cgroups."/a".memory.max: is given twice',
        ),
        (
            '[cgroups."/a"]\nmemory.max = "16E"',
            'lab.toml: cgroups."/a".memory.max: "16E" is larger than a 64-bit number '
            "of bytes",
        ),
        (
            '[cgroups."/"]\nmemory.max = "1M"',
            'lab.toml: cgroups."/".memory.max: "/" has none; see machine.memory',
        ),
        (
            '[cgroups."/a"]\nio.cost.qos = "8:0 enable=1"',
            'lab.toml: cgroups."/a".io.cost.qos: only "/" has it',
        ),
        (
            # the kernel would read 4M as 4
            '[cgroups."/a"]\nio.max = "8:0 wbps=4M"',
            'lab.toml: cgroups."/a".io.max: "wbps=4M": "4M" is not a whole number of '
            "at least 1, in digits",
        ),
        (
            '[cgroups."/a"]\nio.max = "8:0 wbs=4"',
            'lab.toml: cgroups."/a".io.max: "wbs=4" is not one of rbps, wbps, riops, '
            'wiops with a value, for example "254:32 wbps=4194304 riops=max"',
        ),
        (
            '[cgroups."/a"]\nio.weight = 0',
            'lab.toml: cgroups."/a".io.weight: "0" is not a weight from 1 to 10000',
        ),
        (
            '[cgroups."/a"]\nid = 5\n[cgroups."/b"]\nid = 5',
            'lab.toml: cgroups."/b".id: 5 is the id of /a already',
        ),
        (
            '[cgroups."/a"]\ncontrollers = ["io"]\nmemory.max = 1',
            'lab.toml: cgroups."/a".memory.max: the memory controller is not enabled',
        ),
        (
            '[cgroups."/a"]\ncontrollers = ["io"]\n[cgroups."/a/b/c"]\nmemory.max = 1',
            'lab.toml: cgroups."/a/b/c".memory.max: the memory controller is not '
            "enabled",
        ),
        (
            '[cgroups."/a"]\ncontrollers = []\n[cgroups."/a/b"]\ncontrollers = ["io"]',
            'lab.toml: cgroups."/a/b".controllers: io is not enabled for /a',
        ),
        (
            '[cgroups."/a"]\ncontrollers = ["cpu"]',
            'lab.toml: cgroups."/a".controllers: "cpu" is not one of memory, io',
        ),
        (
            '[cgroups."/a"]\ntasks = [{ rss = "1M" }]',
            'lab.toml: cgroups."/a".tasks[0]: no comm or pid, such as comm = "dd"',
        ),
        (
            '[cgroups."/a"]\ntasks = [{ comm = "dd", rs = "1M" }]',
            'lab.toml: cgroups."/a".tasks[0].rs: unknown key; did you mean '
            'cgroups."/a".tasks[0].rss?',
        ),
        (
            '[cgroups."/a"]\ntasks = [5]',
            'lab.toml: cgroups."/a".tasks: 5 stands where a table belongs',
        ),
    ],
)
def test_what_is_not_valid_is_refused_with_its_key(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("driver.polcy=root", "unknown key; did you mean driver.policy?"),
        ("driver.policy=foo", '"foo" is not one of root, naive, per-cgroup'),
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
    assert refusal(LAB, argument) == f"--set {argument}: {message}"


@pytest.mark.parametrize("argument", ["driver.policy=a\nb", "a\nb=5", "x" * 5000])
def test_error_in_an_override_is_one_short_line(argument: str) -> None:
    message = refusal("", argument)
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
    effective: Any = load(LAB, argument).effective()
    assert effective[section][key] == value


def test_override_of_a_table_leaves_its_other_keys() -> None:
    scenario = load(LAB, "service.read={ base_ns = 5 }")
    assert scenario.service.read.base_ns == 5
    assert scenario.service.read.ns_per_byte == 0.25


def test_last_override_wins() -> None:
    scenario = load(LAB, "driver.policy=root", "driver.policy=per-cgroup")
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
    limits = {cgroup.path: cgroup.memory_max for cgroup in load(LAB, argument).cgroups}
    assert limits[path] == 1 << 30


def test_override_of_one_file_leaves_the_cgroup_s_others() -> None:
    cgroup = load(LAB, "/test.slice/memory.max=1G").cgroups[1]
    assert cgroup.memory_swap_max == 0
    assert len(cgroup.tasks) == 2


def test_override_may_hold_equal_signs_and_tables() -> None:
    scenario = load(
        "",
        "/a/io.max=8:0 wbps=1048576 riops=5",
        '/a/tasks=[{comm="dd",rss="1M"}]',
        'assign=[{comm="dd",cgroup="/a"}]',
    )
    assert scenario.cgroups[0].io_max == (
        (8 << 20, (("wbps", "1048576"), ("riops", "5"))),
    )
    assert scenario.cgroups[0].tasks[0].rss == 1 << 20
    assert scenario.assign[0].cgroup == "/a"


def test_missing_file_is_one_line() -> None:
    with pytest.raises(ScenarioError, match=r"^no\.toml: no such file or directory$"):
        Scenario.load("no.toml")


def test_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"is a directory$"):
        Scenario.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[driver]\npolicy = \n", "line 2, column 10: Invalid value"),
        (b"x = [1,\n2", "line 2: Unclosed array"),
        (
            b"a = 1\n[x\n",
            "line 2, column 3: Expected ']' at the end of a table declaration",
        ),
        (b"x = \xff", "byte 4: not UTF-8"),
        (
            b"x = 1" + b"0" * 5000,
            "not a scenario: a number or a nesting beyond all limits",
        ),
        (
            b"x = " + b"[" * 5000,
            "not a scenario: a number or a nesting beyond all limits",
        ),
    ],
)
def test_file_that_is_not_toml_is_refused_with_its_place(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(path)
    assert str(caught.value) == f"{path}: {reason}"


def test_scenario_cannot_be_changed() -> None:
    scenario = Scenario.load()
    with pytest.raises(AttributeError):
        scenario.driver.policy = "root"  # type: ignore[misc]
