"""What a directory of a batch stands for: links and archives, too."""

import shutil
from pathlib import Path

import replay
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


def test_a_scenario_beside_a_recording_is_told_where_nobody_asked_for_it(
    top: Path, tmp_path: Path
) -> None:
    # GIVEN a recording whose scenario says that it was taken under root, and one
    # whose scenario says of it what is taken anyhow
    names = [top / "traces/workers-root", top / "traces/seed-unlimited"]
    found = replay.batch(names, output=tmp_path / "d", jobs=1)
    # THEN it is said that both lie there, and of the first what is not so
    (passed,) = found.passed
    assert passed.startswith("2 scenario files lie beside the recording of the same")
    said = [note for note in found.notes if "was not asked for" in note]
    assert len(said) == 1
    assert said[0].startswith(
        f"{names[0]}.toml lies beside the recording and was not asked for; it says "
        "trace.policy = root (taken here: per-cgroup), 2 rules of [[assign]] (here none"
    )
    runs = replay.open_dataset(tmp_path / "d").runs.to_pylist()
    assert [said[0] in row["notes"] for row in runs] == [False, True]
    # AND nothing where it is asked for
    for name in names:
        mine = replay.batch(name, name.with_suffix(".toml"), output=tmp_path / "e")
        assert not mine.passed
        assert not [note for note in mine.notes if "was not asked for" in note]
