"""Recordings made by others: rows, spans and bytes, and text against binary."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from replay.common.errors import TraceError
from replay.trace.convert import open_or_convert
from replay.trace.file.read import Trace
from replay.trace.formats.options import FormatOptions
from replay.trace.formats.registry import NAMES
from support.blktrace import PATTERN, printed
from support.recordings import packed_names

Find = Callable[[str], Path]

CAFFEINE = "ben-manes_caffeine"
MQSIM = "CMU-SAFARI_MQSim"

#: Per file: format, whether it must be named, rows, ns from the first arrival to the
#: last, bytes, requests by operation, rows older than one before them.
SAMPLES: dict[str, tuple[str, bool, int, int, int, dict[str, int], int]] = {
    f"{CAFFEINE}/msr-cambridge1-sample.csv": (
        *("msr", False, 1000, 127_233_494_100, 9_689_600),
        *({"read": 508, "write": 492}, 0),
    ),
    f"{CAFFEINE}/systor17-additional-sample.csv.gz": (
        *("systor", False, 999, 1_330_616_000, 20_692_480),
        *({"read": 700, "write": 299}, 410),
    ),
    f"{CAFFEINE}/systor17-traces-sample.csv.gz": (
        *("systor", False, 999, 2_447_767_000, 39_122_432),
        *({"read": 826, "write": 173}, 287),
    ),
    # two seconds, of 1,297 and 48,703 rows
    f"{CAFFEINE}/cloud_storage-sample.bz2": (
        *("tencent", True, 50_000, 1_999_979_467, 1_518_392_320),
        *({"read": 24_521, "write": 25_479}, 1297),
    ),
    "ricarkol_tracing/homes.replay.0": (
        *("fiu", False, 1000, 1_120_827_083_418, 4_096_000),
        *({"write": 1000}, 0),
    ),
    "ricarkol_tracing/mail.replay.0": (
        *("fiu", False, 122, 1_724_447_367, 503_808),
        *({"read": 107, "write": 15}, 1),
    ),
    "1a1a11a_libCacheSim/cloudPhysicsIO.vscsi": (
        *("vscsi", False, 113_872, 7_200_089_885_000, 4_205_978_112),
        *({"read": 46_974, "write": 66_898}, 0),
    ),
    "schoebel_blkreplay/windows-mssql.load.gz": (
        *("blkreplay", False, 42_976, 3_062_338_015_914, 1_057_598_464),
        *({"read": 2528, "write": 40_448}, 0),
    ),
    "schoebel_blkreplay/windows-shared-server.load.gz": (
        *("blkreplay", False, 1371, 3_597_137_874_735, 5_398_016),
        *({"write": 1371}, 0),
    ),
    f"{MQSIM}/tpcc-small.trace": (
        *("mqsim", True, 6999, 136_489_000, 59_718_656),
        *({"read": 4381, "write": 2618}, 0),
    ),
    f"{MQSIM}/wsrch-small.trace": (
        *("mqsim", True, 24_783, 60_055_212_000, 382_117_888),
        *({"read": 24_779, "write": 4}, 0),
    ),
}

#: Recordings of blktrace and of blkparse: requests, ns from the first event to the
#: last, bytes, requests by operation, records.
RECORDINGS: dict[str, tuple[int, int, int, dict[str, int], int]] = {
    "isotopp_blktrace_to_influx/keks": (
        *(1192, 56_335_055_983, 13_208 << 10),
        *({"discard": 10, "write": 1158, "flush": 24}, 2589),
    ),
    "liuzel01_mynotes/sda": (*(109, 110_218_600_750, 3_232_256, {"write": 109}, 810),),
    "asifazamali-zz_kernel/sda1": (8, 5_093_058_750, 64 << 10, {"write": 8}, 82),
    "NetSys_disaggregation/0-disk-ec2-54-145-159-16": (
        *(3360, 62_271_302_101, (34_356 + 1376) << 10),
        *({"write": 99, "read": 3261}, 22_633),
    ),
    "NetSys_disaggregation/1-disk-ec2-174-129-163-112": (
        *(3206, 62_204_934_469, 36_012_032, {"write": 87, "read": 3119}, 21_888),
    ),
    "takeoverjp_blktrace_viewer/sample": (
        *(963, 345_541_853, 963 * 4096, {"read": 963}, 6743),
    ),
    "Romeus_blkparseanalyzer/trace_x_0_y_0.bin": (
        *(768, 19_182_850, 768 * 512, {"read": 768}, 5379),
    ),
    "Romeus_blkparseanalyzer/trace_x_0_y_1.bin": (
        *(1024, 32_280_860, 1024 * 512, {"read": 1024}, 7171),
    ),
    "OxDeadmeat_blktrace_merge/nvme0n1.blktrace.txt": (
        *(165, 25_018_061_871, 1154 << 10, {"write": 119, "flush": 46}, 1364),
    ),
}


def read(path: Path, **options: Any) -> Trace:
    return open_or_convert(path, format=FormatOptions(**options))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_samples_rows_span_and_bytes(public_trace: Find, name: str) -> None:
    format_, ask, n_rows, span_ns, nbytes, ops, late = SAMPLES[name]
    # GIVEN a file whose format is told by its content, or else must be named
    path = public_trace(name)
    if ask:
        with pytest.raises(TraceError, match=r"say (which format it is|--format)"):
            read(path)
    # WHEN it is read
    with read(path, name=format_ if ask else None) as trace:
        table, summary = trace.table(), trace.metadata.summary
    # THEN each row is there, in the right units
    assert summary.format == format_
    assert table.num_rows == n_rows
    arrivals = table["queue_ns"].to_numpy()
    assert (arrivals[0], arrivals[-1]) == (0, span_ns)
    assert (arrivals[1:] >= arrivals[:-1]).all()
    assert table["nbytes"].to_numpy().astype("int64").sum() == nbytes
    assert dict(Counter(table["op"].to_pylist())) == ops
    assert summary.quality.out_of_order == late
    assert summary.quality.records == n_rows
    assert sum(cgroup.n_requests for cgroup in summary.cgroups) == n_rows
    assert sum(cgroup.nbytes for cgroup in summary.cgroups) == nbytes
    assert sum(device.n_requests for device in summary.devices) == n_rows


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recordings_requests_span_and_bytes(public_trace: Find, name: str) -> None:
    n_rows, span_ns, nbytes, ops, n_records = RECORDINGS[name]
    with read(public_trace(name)) as trace:
        table, summary = trace.table(), trace.metadata.summary
    assert table.num_rows == n_rows
    assert summary.end_ns - summary.start_ns == span_ns
    assert sum(table["nbytes"].to_pylist()) == nbytes
    assert dict(Counter(table["op"].to_pylist())) == ops
    assert summary.quality.records == n_records


def test_every_public_sample_is_stated(shared: Path) -> None:
    public = shared / "public-traces"
    stated = {*SAMPLES, *RECORDINGS}
    found = {
        path.relative_to(public).as_posix().rpartition(".blktrace.")[0]
        if path.suffix[1:].isdecimal() and ".blktrace." in path.name
        else path.relative_to(public).as_posix()
        for path in public.glob("*/*")
    }
    assert found == stated


def test_response_times_become_completions(public_trace: Find) -> None:
    with read(public_trace(f"{CAFFEINE}/msr-cambridge1-sample.csv")) as trace:
        first = trace.table().slice(0, 1).to_pylist()[0]
        summary = trace.metadata.summary
    # 128166385295514663,hm,0,Write,9056014336,2048,2833
    assert (first["complete_ns"], first["sector"]) == (283_300, 9056014336 // 512)
    assert summary.end_ns - summary.start_ns == 127_233_844_000
    assert [cgroup.path for cgroup in summary.cgroups] == ["/hm_0"]
    # 2007-02-22T17:22:09.5514663Z
    assert summary.wall_clock_ns == 1_172_164_929_551_466_300


def test_tencents_rows_of_a_second_stay_in_it(public_trace: Find) -> None:
    path = public_trace(f"{CAFFEINE}/cloud_storage-sample.bz2")
    with read(path, name="tencent") as trace:
        seconds = trace.table()["queue_ns"].to_numpy() // 1_000_000_000
    assert Counter(seconds.tolist()) == {0: 1297, 1: 48_703}


@pytest.mark.parametrize("name", SAMPLES)
def test_wrong_guesses_are_refused(public_trace: Find, name: str) -> None:
    """``tests/unit/trace/formats/test_written.py`` has each of them by itself."""
    for guess in NAMES:
        if guess not in ("csv", SAMPLES[name][0]):
            with pytest.raises(TraceError):
                read(public_trace(name), name=guess)


def test_a_sample_of_blkparses_text(public_trace: Find) -> None:
    path = public_trace("OxDeadmeat_blktrace_merge/nvme0n1.blktrace.txt")
    with read(path) as trace:
        table, summary = trace.table(), trace.metadata.summary
    # what blkparse counted at the file's end
    quality = summary.quality
    assert quality.records == 1364
    assert quality.refused_bytes == quality.truncated_bytes == quality.out_of_order == 0
    assert quality.unmatched == {}
    issued = [row for row in table.to_pylist() if row["issue_ns"] is not None]
    assert Counter(row["op"] for row in issued) == {"write": 119, "flush": 23}
    written = [row for row in issued if row["op"] == "write"]
    assert sum(row["nbytes"] for row in written) == 1154 << 10
    assert sum(row["n_bios"] for row in written) == 225
    names = {one.names[0].name for one in summary.processes if one.names}
    assert "dmcrypt_write/2" in names


SETS = {
    "isotopp_blktrace_to_influx/keks": 2398,
    "liuzel01_mynotes/sda": 0,
    "asifazamali-zz_kernel/sda1": 0,
    "NetSys_disaggregation/0-disk-ec2-54-145-159-16": 0,
    "NetSys_disaggregation/1-disk-ec2-174-129-163-112": 0,
    "takeoverjp_blktrace_viewer/sample": 0,
}
#: As the packaged blkparse prints it by default, with elapsed times, and by format.
WAYS: dict[str, list[str]] = {
    "default": [],
    "elapsed": ["-t"],
    "given": ["-f", r"%D %2c %8s %5T.%9t %5p %2a %3d %S + %N [%C] %e %U\n"],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SETS)
def test_text_and_binary_give_the_same_requests(
    public_trace: Find, tmp_path: Path, name: str, way: str
) -> None:
    blkparse = shutil.which("blkparse")
    if blkparse is None:
        pytest.skip("blkparse is not installed")
    # GIVEN a set, as blkparse can read it: a file's suffix must be its records' CPU
    directory, base = public_trace(name).parent, public_trace(name).name
    if base == "sample":
        data = (directory / "sample.blktrace.0").read_bytes()
        (tmp_path / "sample.blktrace.0").touch()
        (tmp_path / "sample.blktrace.1").write_bytes(data)
        directory = tmp_path
    text = tmp_path / "text"
    subprocess.run(
        [blkparse, "-i", base, "-D", directory, "-o", text, "-q", *WAYS[way]],
        check=True,
        capture_output=True,
    )
    # WHEN both are read
    pattern = WAYS[way][1] if way == "given" else None
    with (
        read(directory / base) as binary,
        read(text, blkparse_format=pattern) as printed_,
    ):
        # THEN the requests are the same in every column
        assert_same(binary.table(), printed_.table())
        ours, theirs = printed_.metadata.summary, binary.metadata.summary
    assert ours.quality.events == theirs.quality.events
    assert ours.quality.unmatched == theirs.quality.unmatched
    assert ours.quality.lost == theirs.quality.lost
    assert ours.quality.refused_bytes == ours.quality.truncated_bytes == 0
    assert ours.end_ns - ours.start_ns == theirs.end_ns - theirs.start_ns
    if events := SETS[name]:
        assert sum(ours.quality.events.values()) == events


def test_text_with_cgroups_gives_the_requests_of_the_recordings(
    recording: Callable[[str], Path], tmp_path: Path
) -> None:
    # GIVEN recordings of a kernel that tags events, printed with %g
    n_tagged = 0
    # of version 7, as `printed` reads
    for directory in map(recording, packed_names("[56].*")):
        text = tmp_path / "text"
        text.write_text(printed(sorted(directory.glob("*.blktrace.*"))))
        # WHEN they are read, THEN cgroups and all else are the same
        with (
            read(directory) as binary,
            read(text, blkparse_format=PATTERN) as printed_,
        ):
            assert_same(binary.table(), printed_.table())
            assert (
                printed_.metadata.summary.quality.events
                == binary.metadata.summary.quality.events
            )
            n_tagged += sum(one.id != 0 for one in binary.metadata.summary.cgroups)
    assert n_tagged > 10


def assert_same(expected: pa.Table, found: pa.Table) -> None:
    assert found.num_rows == expected.num_rows
    for name in expected.column_names:
        assert found[name].to_pylist() == expected[name].to_pylist(), name
