"""What a damaged file of a dataset says, whatever its reader raised."""

from pathlib import Path

import pytest

from replay.common.errors import OutputError
from replay.dataset.damage import intact
from replay.dataset.places import Place

NO_TEXT = UnicodeDecodeError("utf-8", b"\xe5", 0, 1, "unexpected end of data")


@pytest.mark.parametrize("raised", [OSError("cut short"), KeyError("name"), NO_TEXT])
def test_what_a_reader_raises_is_one_line_with_the_file(
    tmp_path: Path, raised: Exception
) -> None:
    place = Place.of(tmp_path / "part.parquet")
    told = r"part.parquet: is damaged: restore it"
    with pytest.raises(OutputError, match=told), intact(place):
        raise raised
