"""Man pages and completions are those of the commands."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from documents import manuals


# of the library that makes them, by click's newest
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("folder", "made"),
    [
        (manuals.MANUALS, manuals.manuals),
        (manuals.COMPLETIONS, manuals.completions),
    ],
    ids=["man", "completions"],
)
def test_what_is_kept_is_what_the_commands_say(
    folder: Path, made: Callable[[], Iterable[tuple[str, str]]]
) -> None:
    # GIVEN the files in docs THEN `make man` would write the same
    kept = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert kept == dict(made())
