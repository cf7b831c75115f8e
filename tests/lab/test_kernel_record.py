"""`replay record` by the kernel's own interface, on real kernels.

Kernels beside Debian's own are taken from ``build/lab/RELEASE/kernel``, where somebody
has unpacked them.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import replay
from lab.virtual_machine import TOP, VirtualMachine, why_not

MIB = 1 << 20
RELEASES = ("5.10", "6.1", "6.12", "7.3")
HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


def boot(release: str, script: str, directory: Path) -> Path:
    """Run a script in a guest; return what it left."""
    reason = why_not()
    if reason is None and not (TOP / "build" / "lab" / release / "kernel").exists():
        reason = None if release == "6.1" else f"no kernel {release} in build/lab"
    if reason is not None:
        pytest.skip(reason)
    machine = VirtualMachine.build(directory, kernel=release)
    output = directory / "out"
    text = (HERE / "recording.sh").read_text() + (HERE / script).read_text()
    machine.run(text, output, seconds=900)
    return output


@pytest.fixture(scope="module", params=RELEASES)
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return boot(request.param, "kernel_record.sh", tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module", params=RELEASES[:3])
def hybrid(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    # 7.3 has no memory controller of version 1
    return boot(
        request.param, "kernel_record_hybrid.sh", tmp_path_factory.mktemp("lab")
    )


def after(recorded: Path, name: str) -> list[int]:
    """Exit code, the option's value, and whether loop0 is traced."""
    return [int(word) for word in (recorded / f"{name}.after").read_text().split()]


def bytes_of(place: Path, tmp_path: Path) -> dict[str | None, int]:
    """Bytes of each cgroup; nothing was lost, and nothing read half."""
    with replay.convert(place, tmp_path / f"{place.name}.arrow") as trace:
        summary = trace.metadata.summary
    quality = summary.quality
    assert (quality.lost, quality.unknown, quality.refused_bytes) == ({}, 0, 0)
    return {one.path: one.nbytes for one in summary.cgroups if one.nbytes}


def test_cgroups_that_are_there_for_one_write_are_named(
    recorded: Path, tmp_path: Path
) -> None:
    assert after(recorded, "short") == [0, 0, 0]
    short = {f"/s{number}": MIB for number in range(1, 6)}
    assert bytes_of(recorded / "short", tmp_path) == {
        "/a": 8 * MIB,
        "/p/b": 4 * MIB,
        **short,
    }
    moved = (recorded / "short" / "moves").read_text().splitlines()
    assert len(moved) == 7


def test_killed_its_guard_ends_the_trace(recorded: Path) -> None:
    assert after(recorded, "killed")[1:] == [0, 0]


def test_killed_with_its_guard_the_next_one_ends_the_trace(recorded: Path) -> None:
    assert after(recorded, "both")[2] == 1
    assert after(recorded, "again") == [0, 0, 0]
    first, *_ = (recorded / "again.err").read_text().splitlines()
    assert first == "Note: loop0: ended the trace that a killed recording had left on"


def test_option_is_what_it_was_when_the_last_of_two_ends(recorded: Path) -> None:
    assert after(recorded, "first") == [0, 1, 0]
    assert after(recorded, "second") == [0, 0, 0]


def test_command_that_is_ended_with_the_time_is_no_failure(recorded: Path) -> None:
    assert after(recorded, "timed") == [0, 0, 0]
    last = (recorded / "timed.err").read_text().splitlines()[-1]
    assert last == "COMMAND still ran, and was ended with the recording"


def test_bpftrace_records_a_partition(recorded: Path, tmp_path: Path) -> None:
    if not (recorded / "part.after").exists():
        pytest.skip("the guest's kernel is none of bpftrace's")
    if (recorded / "kernel").read_text().startswith("5.10."):
        # it has no BTF, and the guest has no headers
        assert after(recorded, "part") == [1]
        (line,) = (recorded / "part.err").read_text().splitlines()
        assert line.endswith("or record without --with bpf")
        return
    assert after(recorded, "part") == [0]
    with replay.convert(recorded / "part", tmp_path / "part.arrow") as trace:
        rows = trace.table().to_pylist()
    written = [row for row in rows if row["op"] == "write"]
    assert sum(row["nbytes"] for row in written) == 4 << 16
    assert min(row["sector"] for row in written) == 2048


def test_traced_by_blktrace_is_refused(recorded: Path) -> None:
    assert after(recorded, "busy") == [1, 0, 1]
    (line,) = (recorded / "busy.err").read_text().splitlines()
    assert "loop0: is traced already, by blktrace or another program" in line


def operations(place: Path, tmp_path: Path, *, fua: bool) -> Sequence[str]:
    with replay.convert(place, tmp_path / "t.arrow") as trace:
        rows = trace.table().to_pylist()
    return [row["op"] for row in rows if not fua or row["flags"] & 4]


def test_a_commands_exit_code_and_what_version_7_lacks(
    recorded: Path, tmp_path: Path
) -> None:
    assert after(recorded, "zeroes") == [5]
    found = operations(recorded / "zeroes", tmp_path, fua=False)
    version_8 = (recorded / "kernel").read_text().startswith("7.3")
    # kernels whose records are of version 7 call them writes, or leave them out
    assert ("write_zeroes" in found) == version_8
    assert found.count("write") >= 16


def test_nothing_is_lost_with_default_buffers(recorded: Path) -> None:
    quality = json.loads((recorded / "fast.json").read_text())["quality"]
    assert quality["lost"] == {}
    assert (quality["unknown"], quality["refused_bytes"]) == (0, 0)
    assert "dropped" not in (recorded / "fast.err").read_text()


def test_version_1s_hierarchies_are_read(hybrid: Path, tmp_path: Path) -> None:
    assert after(hybrid, "hybrid") == [0, 0, 0]
    place = hybrid / "hybrid"
    assert bytes_of(place, tmp_path) == {"/v/w": 2 * MIB, "/late": MIB}
    counted = (place / "end" / "v__w" / "io.stat").read_text()
    assert f"wbytes={2 * MIB}" in counted
    scenario = replay.Scenario.load(place / "scenario.toml")
    (leaf,) = (one for one in scenario.cgroups if one.path == "/v/w")
    # kernels from 6.12 on are built without that hierarchy
    old = (hybrid / "kernel").read_text().startswith(("5.10.", "6.1."))
    assert leaf.memory_max == (32 * MIB if old else None)
    # the cgroup that is gone again was counted by the disk alone
    assert "trace holds 100.0%" in (hybrid / "hybrid.err").read_text()
    assert dict(leaf.io_max) == {7 << 20: (("wbps", "104857600"),)}
