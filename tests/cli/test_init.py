"""``replay init`` and ``replay keys``: a scenario to begin with."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import replay
from replay.cli.main import cli
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.table import KEYS
from replay.scenario.writing.outline import outline
from support.blktrace import process_note, write_set, writes

#: A key that is shown, but says nothing: without its mark it must say the same.
MARKED = re.compile(r"^# (?=[a-z_.]+ = )", re.MULTILINE)


def invoke(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def tables(trace: Path | str, scenario: str, tmp_path: Path) -> list[object]:
    path = tmp_path / "scenario.toml"
    path.write_text(scenario, "utf-8")
    result = replay.run(trace, path)
    return [
        getattr(result, name).to_pylist()
        for name in ("charges", "io_stat", "memory", "latency", "kills", "workers")
    ]


@pytest.mark.parametrize(
    "name", ["seed-unlimited", "nested-unlimited", "workers-per-cgroup", "fs-on-loop"]
)
def test_what_it_writes_changes_nothing_with_its_marks_or_without(
    top: Path, tmp_path: Path, name: str
) -> None:
    # GIVEN a recording and the scenario made of it
    trace = top / "traces" / name
    text, _ = invoke("init", trace)
    # WHEN it is replayed under it, THEN it is as without one
    plain = replay.run(trace)
    expected = [plain.charges.to_pylist(), plain.io_stat.to_pylist()]
    found = tables(trace, text, tmp_path)
    assert found[:2] == expected
    # AND all keys that are shown say what holds
    opened, count = MARKED.subn("", text)
    assert count > 20
    assert tables(trace, opened, tmp_path) == found
    for line in text.splitlines():
        assert len(line) <= 88 or line.startswith(("## A scenario of ", "## Then: "))


def test_a_limit_that_is_filled_in_works(top: Path, tmp_path: Path) -> None:
    # GIVEN the seed's recording
    trace = top / "traces" / "seed-unlimited"
    _, said = invoke("init", trace, "-o", tmp_path / "s.toml")
    path = tmp_path / "s.toml"
    assert said == f"{path}: edit it, then: replay run {trace} -s {path}\n"
    text = (tmp_path / "s.toml").read_text()
    assert 'comm = "dd", rss = "0" },  # 256 requests' in text
    # WHEN the limit is taken from its comment, and a size given
    text = text.replace('# memory.max = "max"', 'memory.max = "64M"')
    # THEN dd is killed
    (tmp_path / "s.toml").write_text(text)
    kills = replay.run(trace, tmp_path / "s.toml").kills.to_pylist()
    assert [(one["task"], one["victim_cgroup"]) for one in kills] == [
        ("dd", "/test.slice")
    ]


def test_every_key_of_the_sections_is_there(top: Path) -> None:
    text, _ = invoke("init", top / "traces" / "seed-unlimited")
    for key in KEYS:
        if key.path == key.name:
            assert re.search(
                rf"^(# |## )?{re.escape(key.path.partition('.')[2])}( =|:)",
                text,
                re.MULTILINE,
            ), key.path


def test_the_policy_of_the_recording_is_its_own(top: Path) -> None:
    # GIVEN a scenario made of a recording, WHEN another policy is asked for
    text, _ = invoke("init", top / "traces" / "seed-unlimited")
    trace = text.partition("[trace]")[2].partition("[driver]")[0]
    # THEN what the trace was taken with stays what it was
    assert "## policy of the driver that the trace was taken with: a fact" in trace
    assert '# policy = "per-cgroup"' in trace


def test_a_trace_without_cgroups_gets_rules_to_fill_in(tmp_path: Path) -> None:
    # GIVEN a recording of no cgroup, of a process that has a name
    name = process_note(b"db*[1]", pid=100)
    write_set(tmp_path, "sda", cpu0=name + writes(4, cgroup=0))
    text, _ = invoke("init", tmp_path / "sda")
    # WHEN the rule that is offered is taken
    assert "# [[assign]]  # 4 requests" in text
    opened = re.sub(r"^# (?=\[\[|comm|cgroup)", "", text, flags=re.MULTILINE)
    # THEN it catches the process's requests, and it alone
    (rule,) = tomllib.loads(opened)["assign"]
    assert rule == {"comm": "db[*][[]1]", "cgroup": "/db*[1]"}
    result = replay.run(tmp_path / "sda", tomllib.loads(opened))
    assert result.info["assign"]["rules"][0]["requests"] == 4


def test_a_cgroup_of_which_only_the_id_is_known_gets_a_path(tmp_path: Path) -> None:
    write_set(tmp_path, "sda", cpu0=writes(4, cgroup=4711))
    text, _ = invoke("init", tmp_path / "sda")
    found = tomllib.loads(text)["cgroups"]
    assert found["/cgroup-4711"]["id"] == 4711


def test_what_the_recording_saved_is_taken_over(tmp_path: Path) -> None:
    # GIVEN a directory as `replay record` leaves it
    write_set(tmp_path, "loop0", cpu0=writes(4))
    (tmp_path / "ids").write_text("1 /\n23 /a\n24 /b\n")
    (tmp_path / "begin" / "a").mkdir(parents=True)
    (tmp_path / "begin" / "a" / "memory.max").write_text("1048576\n")
    (tmp_path / "begin" / "a" / "cgroup.controllers").write_text("memory io\n")
    (tmp_path / "kernel").write_text("5.10.0-8-amd64\n")
    # WHEN a scenario is made THEN limits and kernel stand in it, and the trace's tasks
    text, _ = invoke("init", tmp_path)
    found = tomllib.loads(text)
    assert found["trace"] == found["driver"] == {"kernel": "5.10.0-8-amd64"}
    assert '# policy = "root"' in text
    assert found["cgroups"]["/a"]["memory"] == {"max": "1M"}
    # AND what the recording's own scenario says goes before
    (tmp_path / "scenario.toml").write_text(
        '[cgroups."/b"]\nid = 24\nmemory.max = "2M"'
    )
    found = tomllib.loads(invoke("init", tmp_path)[0])
    assert found["cgroups"]["/b"] == {"id": 24, "memory": {"max": "2M"}}
    assert found["cgroups"]["/a"]["id"] == 23


def test_an_output_that_exists_needs_overwrite(top: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.touch()
    trace = top / "traces" / "seed-unlimited"
    _, said = invoke("init", trace, "-o", path, code=1)
    assert "exists" in said
    invoke("init", trace, "-o", path, "--overwrite", "-q")
    assert Scenario.load(path).cgroups[0].path == "/test.slice"


def test_public_formats_have_cgroups_by_name(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"128166372003061629,usr,0,Read,7014609920,24576,41286\n")
    text, _ = invoke("init", path)
    assert list(tomllib.loads(text)["cgroups"]) == ["/usr_0"]
    with replay.open_or_convert(path) as trace:
        assert outline(trace, str(path), Scenario.load()) == text


def test_the_command_that_it_closes_with_works_as_it_stands(tmp_path: Path) -> None:
    # GIVEN a table whose columns must be told, in a file whose name has blanks
    trace = tmp_path / "my trace's table.csv"
    trace.write_text("ts,off,len,rw,who\n1,2,3,r,2\n")
    ids = tmp_path / "the ids"
    ids.write_text("2 /named\n")
    columns = "time=ts:us,offset=off:B,size=len:B,op=rw,cgroup=who"
    given = (trace, "--format", "csv", "--columns", columns, "--cgroups", ids)
    path = tmp_path / "sc ü.toml"
    _, said = invoke("init", *given, "-o", path)
    # WHEN the command of the last line is taken apart as a shell does
    command = shlex.split(said.partition(": edit it, then: ")[2])
    assert command[:2] == ["replay", "run"]
    # THEN it runs, and stands in the file as well
    shown, _ = invoke(*command[1:])
    assert "/named" in shown
    assert shlex.join(command) in path.read_text("utf-8")


def test_rules_by_version_are_listed_with_the_key_of_the_kernel() -> None:
    text, _ = invoke("keys", "driver.kernel")
    assert "from 5.18: it reads zeroes, and nothing is charged" in text


def test_keys_are_listed_and_searched() -> None:
    lines = invoke("keys")[0].splitlines()
    assert len(lines) == 2 * len(KEYS)
    assert 'arrivals.event  [default: "queue"]' in lines
    found = invoke("keys", "memory.HIGH")[0].splitlines()
    assert found[0] == 'cgroups."/PATH".memory.high  [default: "max"]'
    _, said = invoke("keys", "xyzzy", code=1)
    assert "stands in no key" in said
