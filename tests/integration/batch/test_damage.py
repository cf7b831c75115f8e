"""Files of a dataset that are damaged or gone: each is named, and nothing is lost."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import replay
from replay.common.errors import OutputError
from support.blktrace import write_set, writes
from support.datasets import assert_equal, inline_batches


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of one trace; what is added to it is replayed in this process, too."""
    directory = tmp_path_factory.mktemp("dataset")
    for name, count in (("one", 20), ("two", 30)):
        (directory / name).mkdir()
        write_set(directory / name, "loop0", cpu0=writes(count))
    with inline_batches():
        replay.batch(directory / "one", output=directory / "dataset")
        yield directory / "dataset"


def garbled(data: bytes) -> bytes:
    return bytes(byte ^ 0x55 for byte in data)


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], garbled, None],
    ids=["empty", "cut off", "garbled", "gone"],
)
@pytest.mark.parametrize("pattern", ["runs/*.parquet", "_replay/pairs-*.arrow"])
def test_a_damaged_file_is_named(
    dataset: Path,
    tmp_path: Path,
    pattern: str,
    damage: Callable[[bytes], bytes] | None,
) -> None:
    # GIVEN a dataset of which a file is damaged or gone
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    (file,) = copy.glob(pattern)
    whole = file.read_bytes()
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(whole))
    # THEN who reads the table is told so
    if pattern.startswith("runs"):
        with pytest.raises(OutputError, match=r": is damaged: restore it"):
            replay.open_dataset(copy).table("runs")
    # WHEN a pair is to be added
    inputs = [dataset.parent / "one", dataset.parent / "two"]
    with pytest.raises(OutputError) as caught:
        replay.batch(inputs, output=copy)
    # THEN one line says which file it is
    assert str(caught.value).startswith(f"{file}: is damaged")
    assert "\n" not in str(caught.value)
    # AND with the file as it was the same batch goes on
    file.write_bytes(whole)
    replay.batch(inputs, output=copy)
    replay.batch(inputs, output=tmp_path / "fresh")
    assert_equal(copy, tmp_path / "fresh")
