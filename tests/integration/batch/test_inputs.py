"""What a directory of a batch stands for: links and archives, too."""

import shutil
from pathlib import Path

from replay.dataset.sources import find_sources


def test_links_to_recordings_are_followed(top: Path, tmp_path: Path) -> None:
    # GIVEN a directory of links, one of which leads back up, and an archive
    (tmp_path / "linked").symlink_to(top / "traces/seed-unlimited")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "below").mkdir()
    shutil.copy(top / "traces/packed/7.3/trim.tar.zst", tmp_path / "below")
    # WHEN it is named
    passed: list[str] = []
    names = [source.name for source in find_sources(str(tmp_path), passed=passed)]
    # THEN each recording is taken once, and it is said what was passed by
    assert names == [f"{tmp_path}/linked"]
    assert passed == [
        f"{tmp_path}: 1 archive passed by, such as {tmp_path}/below/trim.tar.zst: "
        "name them by a pattern"
    ]


def test_the_archives_of_a_directory_are_its_recordings(top: Path) -> None:
    names = [source.name for source in find_sources(str(top / "traces/packed/7.3"))]
    packed = (top / "traces/packed/7.3").glob("*.tar.zst")
    assert names == sorted(str(path) for path in packed)
