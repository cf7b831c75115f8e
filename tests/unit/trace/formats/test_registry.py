"""Which format a file is: told by content where that is safe, else refused."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from replay.cli.main import cli
from replay.common.errors import TraceError
from replay.trace.formats import docs
from replay.trace.formats.registry import BY_NAME, NAMES, recognise
from replay.trace.inputs import unpack
from support.samples import SAMPLES, UNTOLD, read


def test_every_format_has_a_sample() -> None:
    assert {*SAMPLES, *UNTOLD} == set(NAMES)


@pytest.mark.parametrize("name", SAMPLES)
def test_content_that_tells_is_recognised_as_one_format(name: str) -> None:
    assert recognise(SAMPLES[name]) == [name]


@pytest.mark.parametrize("name", UNTOLD)
def test_content_that_does_not_tell_is_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(UNTOLD[name])
    assert recognise(UNTOLD[name]) == []
    with pytest.raises(TraceError, match="--format "):
        read(path)


ROWS = {
    "msr": SAMPLES["msr"],
    "alibaba": SAMPLES["alibaba"],
    "fiu": SAMPLES["fiu"],
    "tencent": UNTOLD["tencent"],
    "disksim": UNTOLD["disksim"],
    "mqsim": UNTOLD["mqsim"],
    "systor": b"1.500000000,,R,0,0,512\n",
    "fio-iolog": b"/a read 0 512\n",
}


@pytest.mark.parametrize("place", [0, 3, 9])
@pytest.mark.parametrize("name", ["msr", "alibaba", "fiu", "tencent", "systor"])
def test_a_damaged_row_is_named_with_the_format_that_it_is_not(
    tmp_path: Path, name: str, place: int
) -> None:
    # GIVEN ten rows, of which one is damaged
    rows = [ROWS[name]] * 10
    rows[place] = b"128166372003061629,usr\xff,0,,,\n"
    path = tmp_path / "f"
    path.write_bytes(b"".join(rows))
    # WHEN it is read, THEN the row is named, its text, and what all others are
    with pytest.raises(TraceError) as refusal:
        read(path)
    text = str(refusal.value)
    assert text.startswith(f"{path}: row {place + 1}: is not {name}, as most other")
    assert "usr\\\\xff,0" in text
    assert "mend it or take it out" in text
    assert text.isascii()
    # AND if the format is said, it is the same row
    with pytest.raises(TraceError, match=f"row {place + 1}:|first line is not"):
        read(path, name)


def test_a_damaged_record_is_named_with_the_format_that_it_is_not(
    tmp_path: Path,
) -> None:
    records = [SAMPLES["vscsi"]] * 5
    records[2] = bytes(32)
    path = tmp_path / "f"
    path.write_bytes(b"".join(records))
    for name in (None, "vscsi"):
        with pytest.raises(TraceError, match=r"no record of version 1|neither 1 nor 2"):
            read(path, name)
    with pytest.raises(TraceError, match=r"f: byte 64: .* most other .* of vscsi"):
        read(path)


def test_what_it_may_be_is_said(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for name in ("tencent", "disksim", "mqsim"):
        path.write_bytes(ROWS[name] * 4)
        with pytest.raises(TraceError, match=f"may be {name}, but it does not tell"):
            read(path)


@pytest.mark.parametrize("guess", [name for name in NAMES if name != "csv"])
@pytest.mark.parametrize("name", [*SAMPLES, *UNTOLD])
def test_a_wrong_guess_is_refused(tmp_path: Path, name: str, guess: str) -> None:
    path = tmp_path / "f"
    path.write_bytes((SAMPLES | UNTOLD)[name])
    if name == guess:
        rows, summary = read(path, guess)
        assert rows
        assert summary.format == guess
        return
    with pytest.raises(TraceError) as refusal:
        read(path, guess)
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_binary_file_is_no_csv(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(SAMPLES["vscsi"])
    with pytest.raises(TraceError, match="is not csv"):
        read(path, "csv", columns="time=1:s,offset=2:B,size=3:B,op=4")


def test_a_scenario_in_place_of_a_trace_is_told(tmp_path: Path) -> None:
    path = tmp_path / "today.toml"
    path.write_text('[driver]\npolicy = "root"\n')
    with pytest.raises(TraceError, match=r"today.toml: is a scenario .* by -s$"):
        read(path)


def test_files_of_two_formats_are_not_read_together(tmp_path: Path) -> None:
    for name in ("msr", "alibaba"):
        (tmp_path / name).write_bytes(SAMPLES[name])
    result = CliRunner().invoke(
        cli,
        ["convert", str(tmp_path / "msr"), str(tmp_path / "alibaba"), "-o", "x.arrow"],
    )
    assert result.exit_code == 1
    assert "convert them one by one" in result.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--format", "msrr"], "there is no format 'msrr': did you mean msr?"),
        (["--format", "msr", "--columns", "x"], "msr has columns of its own"),
        (["--format", "msr", "--blkparse-format", "x"], "msr is not blkparse's text"),
        (["--columns", "x", "--blkparse-format", "x"], "give one of them"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, options: list[str], reason: str
) -> None:
    (tmp_path / "f").write_bytes(SAMPLES["msr"])
    for command in ("info", "run"):
        result = CliRunner().invoke(cli, [command, str(tmp_path / "f"), *options])
        assert result.exit_code == 1
        assert reason in result.stderr


def test_the_list_names_every_format() -> None:
    result = CliRunner().invoke(cli, ["formats"])
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.splitlines()[::2]]
    assert listed == list(NAMES)


def test_the_description_is_current(top: Path) -> None:
    assert (top / "docs" / "formats.md").read_text("utf-8") == docs.document()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


@pytest.mark.parametrize("codec", COMPRESS)
@pytest.mark.parametrize("name", ["msr", "blkparse", "blktrace", "vscsi"])
def test_compressed_content_gives_the_same_rows(
    tmp_path: Path, name: str, codec: str
) -> None:
    data = SAMPLES[name]
    (tmp_path / "disk.plain").write_bytes(data)
    # two members, as tools that compress in parallel write them
    half = data.find(b"\n") + 1 if name in BY_NAME else 48
    packed = COMPRESS[codec](data[:half]) + COMPRESS[codec](data[half:])
    (tmp_path / "disk.packed").write_bytes(packed)
    assert read(tmp_path / "disk.packed")[0] == read(tmp_path / "disk.plain")[0]


@pytest.mark.parametrize("codec", COMPRESS)
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, codec: str) -> None:
    data = b"".join(SAMPLES["msr"] for _ in range(5000))
    packed = COMPRESS[codec](data)
    path = tmp_path / "f"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(TraceError, match=r"its \w+ data cannot be read"):
        read(path)


def test_a_decompression_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a file that becomes more than 1000 times as long, and a bound to reach soon
    monkeypatch.setattr(unpack, "FREE_BYTES", 1 << 20)
    line = SAMPLES["msr"]
    path = tmp_path / "f"
    path.write_bytes(lzma.compress(line * 200_000))
    assert path.stat().st_size * unpack.MAX_RATIO < len(line) * 200_000
    # WHEN it is read, THEN not to its end
    with pytest.raises(TraceError, match="decompress it yourself"):
        read(path)


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(SAMPLES["alibaba"] + b"1" * (9 << 20))
    with pytest.raises(TraceError):
        read(path)
    path.write_bytes(SAMPLES["blkparse"] + b"1" * (9 << 20))
    with pytest.raises(TraceError, match="this is not blkparse's text"):
        read(path)
