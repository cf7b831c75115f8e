"""``replay info``: the same facts of a recording and of its trace file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from replay.cli.main import cli
from support.blktrace import write_set, writes


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def facts(*arguments: str | Path) -> dict[str, Any]:
    result = run("info", *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    read: dict[str, Any] = json.loads(result.stdout)
    return read


def test_a_recording_and_its_trace_file_say_the_same(tmp_path: Path) -> None:
    # GIVEN a recording and the trace file made of it
    write_set(tmp_path, "loop0", cpu0=writes(5), cpu1=writes(2, cgroup=59))
    run("convert", tmp_path / "loop0", "-o", tmp_path / "t.arrow")
    # WHEN both are asked
    recording = facts(tmp_path / "loop0")
    stored = facts(tmp_path / "t.arrow")
    # THEN they differ in their names only
    assert recording.pop("path") == str(tmp_path / "loop0")
    assert stored.pop("path") == str(tmp_path / "t.arrow")
    assert recording == stored
    assert stored["requests"] == 7
    assert {one["id"]: one["requests"] for one in stored["cgroups"]} == {23: 5, 59: 2}


def test_a_page_is_shown_without_json(tmp_path: Path) -> None:
    write_set(tmp_path, "loop0", cpu0=writes(5))
    result = run("info", tmp_path / "loop0")
    assert result.exit_code == 0
    assert ["7:0", "write", "5", "5", "20,480"] in [
        line.split() for line in result.stdout.splitlines()
    ]


def test_ids_name_the_cgroups(tmp_path: Path) -> None:
    write_set(tmp_path, "loop0", cpu0=writes(1))
    (tmp_path / "mine").write_text("23 /a b\n")
    read = facts(tmp_path / "loop0", "--cgroups", tmp_path / "mine")
    assert [one["path"] for one in read["cgroups"]] == ["/a b"]


def test_a_damaged_trace_file_is_refused_in_one_line(tmp_path: Path) -> None:
    write_set(tmp_path, "loop0", cpu0=writes(1))
    path = tmp_path / "t.arrow"
    run("convert", tmp_path / "loop0", "-o", path)
    path.write_bytes(path.read_bytes()[:-1])
    result = run("info", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is cut short" in result.stderr
    assert result.stderr.count("\n") == 1


# -- a real kernel's recordings


def test_the_ground_truth_is_shown(recording: Callable[[str], Path]) -> None:
    read = facts(recording("direct-two"))
    assert read["devices"] == ["7:0", "254:32"]
    assert {one["path"] for one in read["cgroups"]} == {"/a", "/b"}
    by_device = {
        device: sum(one["bytes"] for one in read["counts"] if one["device"] == device)
        for device in read["devices"]
    }
    # what the kernel counted on the device below it is what it counted on the loop
    assert by_device["7:0"] == by_device["254:32"] > 0
    assert read["quality"]["lost"] == {}
    assert read["wall_clock"].endswith("Z")
    records = read["quality"]["records"]
    assert records == sum(read["quality"]["events"].values()) + sum(
        read["quality"]["notes"].values()
    )


@pytest.mark.parametrize(
    "name", ["seed-unlimited", "nested-unlimited", "tmpfs-rewrite", "fs-on-loop"]
)
def test_bytes_per_cgroup_are_what_the_kernel_counted(
    recording: Callable[[str], Path], name: str
) -> None:
    # GIVEN the kernel's io.stat of every cgroup on the loop device
    directory = recording(name)
    read = facts(directory)
    counted: dict[str, int] = {}
    for one in read["cgroups"]:
        if one["path"] in (None, "/"):
            continue
        path = directory / "end" / one["path"].lstrip("/").replace("/", "__")
        stat = (path / "io.stat").read_text()
        line = next(line for line in stat.splitlines() if line.startswith("7:0 "))
        fields = dict(field.split("=") for field in line.split()[1:])
        counted[one["path"]] = sum(int(fields[f"{kind}bytes"]) for kind in "rwd")
    # THEN the trace holds the same bytes
    assert counted
    assert counted == {
        one["path"]: one["bytes"] for one in read["cgroups"] if one["path"] in counted
    }
