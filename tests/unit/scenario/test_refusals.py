"""What a scenario may not say, and how it is told."""

import tomllib
from pathlib import Path

import pytest

from replay.common.errors import ScenarioError
from replay.scenario.keys.load import Scenario


def refusal(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(tomllib.loads(text), source="lab.toml")
    return str(caught.value)


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
            "service.read.base_ns, service.read.ns_per_byte, service.read.random_ns, "
            "service.write.base_ns, service.write.ns_per_byte, "
            "service.write.random_ns, service.parallel",
        ),
        (
            "zzz = 1",
            "lab.toml: zzz: unknown key; one of trace, driver, arrivals, backing, "
            "service, disk, machine, assign, cgroups",
        ),
        ("driver = 5", "lab.toml: driver: 5 stands where a table belongs"),
        (
            '[trace]\npolicy = "Root"',
            'lab.toml: trace.policy: "Root" is not one of root, naive, per-cgroup, '
            "enospc, synchronous, instance, backcharge, pass-through",
        ),
        (
            "[driver]\nkernel = 6.1",
            "lab.toml: driver.kernel: 6.1 is not a text; put it in quotes",
        ),
        (
            '[driver]\nkernel = "6.1 rc1"',
            'lab.toml: driver.kernel: "6.1 rc1" is not a kernel version such as 6.1 '
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
            '[cgroups."/"]\nio.cost.qos = "8:0 enable=1 min=50 max=20"',
            'lab.toml: cgroups."/".io.cost.qos: 8:0: min=50 is more than max=20',
        ),
        (
            '[cgroups."/"]\nio.cost.qos = "8:0 rpct=101"',
            'lab.toml: cgroups."/".io.cost.qos: "rpct=101": "101" is more than 100',
        ),
        (
            '[cgroups."/a"]\nio.cost.qos = "8:0 enable=1"',
            'lab.toml: cgroups."/a".io.cost.qos: only "/" has it',
        ),
        (
            '[cgroups."/a"]\nio.max = "8:0 wbps=4MB"',
            'lab.toml: cgroups."/a".io.max: "wbps=4MB": "4MB" is not a rate such as '
            "4194304, 4096K, 4M",
        ),
        (
            # how many, not how long
            '[cgroups."/a"]\nio.max = "8:0 wiops=4K"',
            'lab.toml: cgroups."/a".io.max: "wiops=4K": "4K" is not a whole number of '
            "at least 1, in digits: write 4096",
        ),
        (
            '[cgroups."/a"]\nio.max = "8:0 wbs=4"',
            'lab.toml: cgroups."/a".io.max: "wbs=4" is not one of rbps, wbps, riops, '
            'wiops with a value, for example "254:32 wbps=4M riops=max"',
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
        (
            # to parse it would take minutes
            b"x" + b".x" * 100_000 + b" = 1",
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


def test_a_mark_of_the_byte_order_is_no_part_of_a_file(tmp_path: Path) -> None:
    # GIVEN a file as editors of Windows write it
    path = tmp_path / "marked.toml"
    path.write_bytes(b'\xef\xbb\xbf[driver]\r\npolicy = "root"\r\n')
    assert Scenario.load(path).driver.policy == "root"
