"""Recording by bpftrace: its program, and what it prints."""

from dataclasses import replace
from pathlib import Path

import pytest

import replay
from replay.capture.machine import BPF
from replay.capture.record import record
from replay.capture.recorders.bpf import Traced, program_text, traced
from replay.common.errors import CaptureError
from support.machines import FakeMachine, make_machine


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    (tmp_path / "machine").mkdir()
    return make_machine(tmp_path / "machine")


def test_program_has_all_events_of_the_devices() -> None:
    text = program_text([Traced(7 << 20, 7 << 20), Traced(254 << 20 | 16, 254 << 20)])
    lines = text.splitlines()
    assert len(lines) == 21
    assert sum(f"/args->dev == {7 << 20}/" in line for line in lines) == 10
    assert text.count(": 254,16 %llx,%llx ") == 6
    assert text.count("cgroup >> 32") == 12


def test_partition_is_its_disks_sectors_under_its_own_number(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN sda1, of 1000 sectors from 2048 on, and sda
    machine = fake.machine
    disk = machine.sys / "devices" / "sda"
    classes = machine.sys / "class" / "block"
    classes.mkdir(parents=True)
    for place, texts in {
        disk: {"dev": "8:0\n"},
        disk / "sda1": {"dev": "8:1\n", "start": "2048\n", "size": "1000\n"},
    }.items():
        place.mkdir(parents=True)
        (classes / place.name).symlink_to(place)
        for name, text in texts.items():
            (place / name).write_text(text)
    numbers = {"sda": 8 << 20, "sda1": 8 << 20 | 1}
    monkeypatch.setattr(type(machine), "number", lambda _, path: numbers[path.name])
    # THEN tracepoints, which know disks alone, are asked for the disk's sectors
    assert traced(Path("/dev/sda"), machine) == Traced(8 << 20, 8 << 20)
    part = traced(Path("/dev/sda1"), machine)
    assert part == Traced(8 << 20 | 1, 8 << 20, 2048, 3048)
    first = program_text([part]).splitlines()[1]
    assert (
        f"/args->dev == {8 << 20} && (args->sector == 0 || "
        "(args->sector >= 2048 && args->sector < 3048))/ { printf(" in first
    )
    assert ": 8,1 %llx,%llx Q %s " in first


def test_recording_by_bpftrace_is_read_as_the_tracer_blk_prints(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN a bpftrace that prints what one printed on Linux 6.18
    program = fake.top / "bin" / "bpftrace"
    printed = (
        "# tracer: blk\n"
        "a b-301 [000] ..... 100.000000001: 7,0 17,0 Q WS 8 + 8 [a b]\n"
        "a b-301 [000] ..... 100.000001001: 7,0 17,0 G WS 8 + 8 [a b]\n"
        "kworker/0:1-30 [000] ..... 100.000002001: 7,0 D WS 8 + 8 [kworker/0:1]\n"
        "swapper/1-0 [001] ..... 100.000005001: 7,0 C WS 8 + 8 [0]\n"
        "Lost 12 events\n"
    )
    (fake.top / "printed").write_text(printed)
    program.write_text(f"#!/bin/sh\ncat {fake.top}/printed; exec sleep 1000\n")
    program.chmod(0o755)
    machine = replace(fake.machine, bpftrace=str(program))
    out = tmp_path / "out"
    found = record(["loop0"], out, seconds=0.2, machine=machine, how=BPF)
    assert (found.dropped, found.n_files) == (12, 1)
    # THEN the request is there with its cgroup and times
    with replay.open_or_convert(out) as trace:
        (row,) = trace.table().to_pylist()
        assert (row["cgroup"], row["pid"], row["nbytes"]) == (0x17, 301, 4096)
        assert row["complete_ns"] - row["queue_ns"] == 5000
        assert row["issue_ns"] - row["queue_ns"] == 2001 - 1
        # AND what was lost is told
        assert trace.metadata.summary.quality.lost == {"0": 12}


def test_kernel_whose_types_are_not_known_is_told_with_what_to_install(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN what bpftrace says on Linux 5.10 without BTF and headers
    program = fake.top / "bin" / "bpftrace"
    program.write_text(
        "#!/bin/sh\necho \"fatal error: 'linux/types.h' file not found\" >&2; exit 1\n"
    )
    program.chmod(0o755)
    machine = replace(fake.machine, bpftrace=str(program))
    with pytest.raises(CaptureError, match="this kernel has no BTF"):
        record(["loop0"], tmp_path / "out", seconds=5, machine=machine, how=BPF)
