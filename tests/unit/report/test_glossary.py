"""docs/glossary.md speaks of what is there."""

import re
from pathlib import Path

import replay.report
from documents.pages import TOP
from replay.engine.setup import Resource
from replay.results.tables import STAGE_NAMES

PAGE = (TOP / "docs" / "glossary.md").read_text()
REPORT = Path(replay.report.__file__).parent


def test_every_stage_and_resource_has_a_line() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == list(STAGE_NAMES)
    (line,) = re.findall(r"^\| for the (.*?) \|.*resource", PAGE, re.MULTILINE)
    assert {*line.split(", ")} == {one.name.lower() for one in Resource}


def test_what_it_says_to_be_on_the_screen_is_there() -> None:
    # GIVEN titles and columns of reports, in italics
    titles = set(re.findall(r"\*([^*]+)\*", PAGE))
    assert len(titles) > 8
    # THEN the reports have them
    source = "".join(one.read_text() for one in REPORT.glob("*.py"))
    assert [title for title in titles if title.removesuffix("s") not in source] == []


def test_columns_that_it_names_are_written() -> None:
    package = REPORT.parent
    source = "".join(one.read_text() for one in package.rglob("*.py"))
    named = set(re.findall(r"`(\w+_(?:ns|bytes|refs|file))`", PAGE))
    assert len(named) > 8
    assert [name for name in sorted(named) if f'"{name}"' not in source] == []
