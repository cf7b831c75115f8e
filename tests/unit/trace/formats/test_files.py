"""Each format's columns in the right units, from samples made by hand."""

import struct
from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.formats.vscsi import V1, V2
from support.samples import brief, paths, read


def write(tmp_path: Path, text: str, name: str = "sample.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_msr_ticks_are_100_ns_since_1601(tmp_path: Path) -> None:
    # GIVEN two hosts' disks; a tick is 100 ns
    path = write(
        tmp_path,
        "128166372003061629,usr,0,Read,7014609920,24576,41286\n"
        "128166372003061639,proj,1,Write,1024,512,7\n",
    )
    # WHEN it is read without being named
    rows, summary = read(path)
    # THEN times are ns, offsets sectors, and cgroup and device are host and disk
    assert summary.format == "msr"
    assert brief(rows) == [
        (0, 4_128_600, 13_700_410, 24576, "read"),
        (1000, 1700, 2, 512, "write"),
    ]
    assert paths(rows, summary) == ["/usr_0", "/proj_1"]
    assert [row["device"] for row in rows] == [1, 2]
    assert [device.volume for device in summary.devices] == ["usr_0", "proj_1"]
    # 2007-02-22T17:00:00.3061629Z
    assert summary.wall_clock_ns == 1_172_163_600_306_162_900
    assert summary.end_ns - summary.start_ns == 4_128_600


def test_alibaba_times_are_us_and_sizes_bytes(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "419,W,8792731648,16384,1577808000000626\n725,R,8192,4096,1577808000001000\n",
    )
    rows, summary = read(path)
    assert summary.format == "alibaba"
    assert brief(rows) == [
        (0, None, 17_173_304, 16384, "write"),
        (374_000, None, 16, 4096, "read"),
    ]
    assert paths(rows, summary) == ["/device_419", "/device_725"]
    assert summary.wall_clock_ns == 1_577_808_000_000_626_000


def test_tencent_seconds_are_spread_evenly_in_file_order(tmp_path: Path) -> None:
    # GIVEN a second of three rows, before it in time one row that comes late
    path = write(
        tmp_path,
        "1538323201,100,8,0,1283\n"
        "1538323200,200,16,1,1360\n"
        "1538323201,300,24,1,1283\n"
        "1538323201,400,32,0,1283\n",
    )
    # WHEN it is read, which needs its name
    rows, summary = read(path, "tencent")
    # THEN the second's rows stand at 0, 1/3 and 2/3 of it; sizes are in sectors
    assert brief(rows) == [
        (0, None, 200, 8192, "write"),
        (1_000_000_000, None, 100, 4096, "read"),
        (1_333_333_333, None, 300, 12288, "write"),
        (1_666_666_666, None, 400, 16384, "read"),
    ]
    assert paths(rows, summary)[:2] == ["/volume_1360", "/volume_1283"]
    assert summary.quality.out_of_order == 1
    assert "spread evenly" in summary.notes[0]


def test_systor_seconds_have_exact_fractions_and_blanks_are_counted(
    tmp_path: Path,
) -> None:
    # GIVEN a blank row, a blank response, and a row older than the one before it
    path = write(
        tmp_path,
        "Timestamp,Response,IOType,LUN,Offset,Size\n"
        "1455591804.310701000,0.006475000,R,0,203468398592,32768\n"
        "1455591804.310700999,,W,4,4096,512\n"
        "1455591804.400000000,,,,,\n",
    )
    rows, summary = read(path)
    assert summary.format == "systor"
    assert brief(rows) == [
        (0, None, 8, 512, "write"),
        (1, 6_475_001, 397_399_216, 32768, "read"),
    ]
    assert paths(rows, summary) == ["/lun_4", "/lun_0"]
    quality = summary.quality
    assert (quality.records, quality.unknown, quality.out_of_order) == (3, 1, 1)
    assert quality.unfinished == 1


def test_fiu_has_processes_with_names_over_time(tmp_path: Path) -> None:
    digest = "3f4fc2833a17fd2a3dacad7c0e8ca8ad"
    path = write(
        tmp_path,
        f"1000 7 cat 224 8 W 8 16 {digest}\n"
        f"2000 7 bash 16 16 R 8 16 {digest}\n"
        f"3000 9 (null) 16 16 R 8 0 {digest}\n",
    )
    rows, summary = read(path)
    assert summary.format == "fiu"
    assert brief(rows) == [
        (0, None, 224, 4096, "write"),
        (1000, None, 16, 8192, "read"),
        (2000, None, 16, 8192, "read"),
    ]
    assert paths(rows, summary) == ["/cat", "/bash", "/(null)"]
    assert [row["device"] for row in rows] == [8 << 20 | 16, 8 << 20 | 16, 8 << 20]
    assert [
        (one.pid, one.n_requests, [(n.time_ns, n.name) for n in one.names])
        for one in summary.processes
    ] == [(7, 2, [(0, "cat"), (1000, "bash")]), (9, 1, [(2000, "(null)")])]


@pytest.mark.parametrize("version", [1, 2])
def test_vscsi_layouts_and_operations(tmp_path: Path, version: int) -> None:
    # GIVEN a read, a write, an unmap and an inquiry, us apart
    path = tmp_path / "disk.vscsi"
    records = b""
    for row, (command, length, block) in enumerate(
        [(0x28, 4096, 100), (0x8A, 512, 7), (0x42, 1 << 20, 9), (0x12, 36, 1)]
    ):
        code = version << 8
        time_us = 5_633_898_368_802 + row
        if version == 1:
            records += struct.pack(
                "<IIIHHQQ", row, length, 1, command, code, block, time_us
            )
        else:
            records += struct.pack(
                "<HHIIIQQQ", command, code, row, length, 1, block, time_us, 250
            )
    assert len(records) == 4 * (V1 if version == 1 else V2).itemsize
    path.write_bytes(records)
    # WHEN it is read, THEN version 2 has completions
    rows, summary = read(path)
    assert summary.format == "vscsi"
    done = [row * 1000 + 250_000 if version == 2 else None for row in range(4)]
    assert brief(rows) == [
        (0, done[0], 100, 4096, "read"),
        (1000, done[1], 7, 512, "write"),
        (2000, done[2], 9, 1 << 20, "discard"),
        (3000, done[3], 0, 36, "passthrough"),
    ]
    assert paths(rows, summary) == ["/disk"] * 4


def test_a_vscsi_file_that_is_cut_off_is_refused_with_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "disk.vscsi"
    record = struct.pack("<IIIHHQQ", 0, 512, 1, 0x28, 256, 1, 10)
    path.write_bytes(record * 3 + record[:5])
    with pytest.raises(TraceError, match=r"disk\.vscsi: byte 96: 5 bytes are left"):
        read(path)


def test_disksim_is_ms_and_mqsim_ns(tmp_path: Path) -> None:
    ms = write(tmp_path, "0.500000 0 100 8 0\n1.250001  3  7 16 1\n", "a")
    ns = write(tmp_path, "500000 0 100 8 0\n1250001 3 7 16 1\n", "b")
    for path, name in ((ms, "disksim"), (ns, "mqsim")):
        rows, summary = read(path, name)
        assert brief(rows) == [
            (0, None, 100, 4096, "write"),
            (750_001, None, 7, 8192, "read"),
        ]
        assert paths(rows, summary) == ["/device_0", "/device_3"]
    # either as the other is nonsense
    with pytest.raises(TraceError, match="is not disksim: no time has a fraction"):
        read(ns, "disksim")
    with pytest.raises(TraceError, match="is not mqsim: times have a fraction"):
        read(ms, "mqsim")


def test_blkreplay_header_may_quote_another_files_header(tmp_path: Path) -> None:
    header = "Copyright\n\nstart ; sector; length ; op ;  replay_delay=0 ; x=0\n"
    path = write(
        tmp_path,
        header
        + "without any warranty.\n"
        + header
        + "      0.000000000 ;      6293576 ;    8 ; W ; 0.0 ; 0.0\n"
        + "      2.110378217 ;          100 ;   16 ; RA ; 0.0 ; 0.0\n",
        "server.load",
    )
    rows, summary = read(path)
    assert summary.format == "blkreplay"
    assert brief(rows, "queue_ns", "sector", "nbytes", "op", "flags") == [
        (0, 6_293_576, 4096, "write", 0),
        (2_110_378_217, 100, 8192, "read", 16),
    ]
    assert paths(rows, summary) == ["/server", "/server"]


def test_fio_version_2_waits_are_ms_since_the_start(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "fio version 2 iolog\n/dev/sda add\n/dev/sda open\n"
        "/dev/sda write 0 4096\n/dev/sda wait 150 0\n/dev/sda read 512 1024\n"
        "/dev/sda wait 50 0\n/dev/sda datasync 512 1024\n/dev/sda trim 4096 512\n"
        "/dev/sda close\n",
    )
    rows, summary = read(path)
    assert summary.format == "fio-iolog"
    assert brief(rows) == [
        (0, None, 0, 4096, "write"),
        (150_000_000, None, 1, 1024, "read"),
        # one that is over holds up nothing
        (150_000_000, None, 0, 0, "flush"),
        (150_000_000, None, 8, 512, "discard"),
    ]
    assert paths(rows, summary) == ["/dev_sda"] * 4


def test_fio_version_3_times_are_us(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "fio version 3 iolog\n29 /a/b add\n30 /a/b open\n"
        "5998 /a/b read 720896 65536\n11410 /a/b write 0 512\n11500 /a/b close\n",
    )
    rows, _ = read(path)
    assert brief(rows) == [
        (0, None, 1408, 65536, "read"),
        (5_412_000, None, 0, 512, "write"),
    ]


@pytest.mark.parametrize(
    ("name", "good", "bad", "reason"),
    [
        (
            "msr",
            "128166372003061629,usr,0,Read,0,512,1",
            "128166372003061629,usr,0,Trim,0,512,1",
            "row 3: Type is 'Trim', not 'read', 'write'",
        ),
        (
            "msr",
            "128166372003061629,usr,0,Read,0,512,1",
            "128166372003061629,usr,0,Read,-4,512,1",
            "row 3: the offset is negative",
        ),
        (
            "msr",
            "128166372003061629,usr,0,Read,0,512,1",
            "128166372003061629,usr,0,Read,0,512",
            "row 3: Expected 7 columns, got 6",
        ),
        (
            "alibaba",
            "419,W,0,512,1577808000000626",
            "419,W,0,4294967296,1577808000000626",
            "row 3: the size is negative, or 4 GiB or more",
        ),
        (
            "alibaba",
            "419,W,0,512,1577808000000626",
            "419,W,0,x,1577808000000626",
            "row 3: length: 'x' is no number",
        ),
        (
            "alibaba",
            "419,W,0,512,1577808000000626",
            "419,W,,512,1577808000000626",
            "row 3: offset is blank",
        ),
        (
            "tencent",
            "1538323201,100,8,0,1283",
            "9223372036,100,8,0,1283",
            "row 3: the time is",
        ),
        ("mqsim", "5 0 1 8 0", "6 0 1 8 2", "row 3: type is not below 2"),
        (
            "fiu",
            "1000 7 cat 224 8 W 8 16 3f4f",
            "1000 7 cat 224 8 W 4096 16 3f4f",
            "row 3: major:minor is no device number",
        ),
    ],
)
def test_a_bad_row_is_refused_with_file_and_row(
    tmp_path: Path, name: str, good: str, bad: str, reason: str
) -> None:
    path = write(tmp_path, f"{good}\n{good}\n{bad}\n{good}\n")
    with pytest.raises(TraceError) as refusal:
        read(path, name)
    assert str(refusal.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(refusal.value)
