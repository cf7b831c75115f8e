"""Outputs appear whole or not at all."""

import os
from pathlib import Path

import pytest

from replay.common.errors import OutputError
from replay.common.output import replacing
from replay.results.directory import OutputDirectory


def write(path: Path, text: str = "new", *, overwrite: bool = False) -> None:
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(text)


def test_the_output_has_its_name_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_nothing_and_keeps_what_was(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "out"
    target.write_text("old")

    def fail() -> None:
        with replacing(target, overwrite=True) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_output_is_refused_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(OutputError, match="out: exists already: use --overwrite"):
        write(target)
    assert target.read_text() == "old"


def test_an_output_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def write_while_another_does() -> None:
        with replacing(target) as temporary:
            temporary.write_text("new")
            target.write_text("other")

    with pytest.raises(OutputError, match="exists already"):
        write_while_another_does()
    assert target.read_text() == "other"
    assert list(tmp_path.iterdir()) == [target]


def test_overwrite_replaces(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    write(target, overwrite=True)
    assert target.read_text() == "new"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a regular file"):
        write(tmp_path / "pipe", overwrite=True)
    with pytest.raises(OutputError, match="is a directory"):
        write(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match=r"there is no directory .*gone: make it"):
        write(tmp_path / "gone" / "out")


def test_a_write_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="out: cannot be written: File name too long"):
        write(tmp_path / ("x" * 300 + "out"))


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write(tmp_path / ("x" * 255))
    assert (tmp_path / ("x" * 255)).read_text() == "new"


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "round"
    target.symlink_to("round")
    for output in (
        lambda: write(target, overwrite=True),
        lambda: OutputDirectory(target),
    ):
        with pytest.raises(OutputError, match="round: is a symbolic link that leads"):
            output()
    assert target.is_symlink()


def test_standard_output_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"^-: standard output takes no output"):
        write(Path("-"))
    # THEN a file of that name is one by its path
    write(tmp_path / "-")
    assert [path.name for path in tmp_path.iterdir()] == ["-"]
