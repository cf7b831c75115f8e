"""Files that others hand over are regular, bounded, and lie where they seem to."""

import os
from pathlib import Path

import pytest

from replay.common.bounded import FileRefusedError, check_within, read_bounded


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345678")
    assert read_bounded(path, 8) == b"12345678"
    with pytest.raises(FileRefusedError, match="more than"):
        read_bounded(path, 7)


def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FileRefusedError, match="16 MiB"):
        read_bounded(path)


def test_a_file_that_hides_its_size_is_bounded_too() -> None:
    # those of procfs say that they have no bytes
    assert b"MemTotal" in read_bounded("/proc/meminfo")
    with pytest.raises(FileRefusedError, match="more than"):
        read_bounded("/proc/meminfo", 10)


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(FileRefusedError, match="not a regular file"):
            read_bounded(path)
    with pytest.raises(IsADirectoryError):
        read_bounded(tmp_path)


def test_links_may_not_lead_out(tmp_path: Path) -> None:
    top = tmp_path / "capture"
    top.mkdir()
    (tmp_path / "secret").write_text("secret")
    (top / "inside").write_text("told")
    (top / "here").symlink_to("inside")
    (top / "out").symlink_to("../secret")
    (top / "up").symlink_to("..")
    assert read_bounded(top / "here", within=top) == b"told"
    for name in ("out", "up/secret"):
        with pytest.raises(FileRefusedError, match="link out of"):
            read_bounded(top / name, within=top)
    check_within(top, top)
    # a directory beside it whose name begins alike is outside, too
    (tmp_path / "capture-2").mkdir()
    with pytest.raises(FileRefusedError):
        check_within(tmp_path / "capture-2", top)
