"""The examples of docs/batch.md give what stands there."""

import re
import shutil
from contextlib import chdir
from pathlib import Path

import duckdb
import pytest

from documents.pages import TOP, blocks, environment, run_commands, run_python
from replay.dataset.rows import RUNS, SCHEMAS

PAGE = TOP / "docs" / "batch.md"
SHOWN = re.compile(r"```sql\n(.*?)```\n```\n(.*?)```", re.DOTALL)


def test_what_the_page_shows_is_what_comes_out(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # GIVEN a copy of traces/, where the page's commands are run
    folder = tmp_path / "traces"
    shutil.copytree(TOP / "traces", folder)
    outputs = dict(SHOWN.findall(PAGE.read_text()))
    path = environment(tmp_path_factory.mktemp("bin"))
    seen = set()
    for block in blocks(PAGE):
        seen.add(block.language)
        # WHEN they are run one after the other, THEN they print what stands there
        if block.language == "console":
            run_commands(block, folder, path)
        elif block.language == "pycon":
            run_python(block, PAGE, folder)
        else:
            with chdir(folder):
                told = str(duckdb.sql(block.text))
            assert told.rstrip() == outputs[block.text].rstrip(), told
    assert seen == {"console", "sql", "pycon"}


def test_the_columns_of_runs_are_told() -> None:
    text = PAGE.read_text()
    for field in SCHEMAS[RUNS]:
        told = {key.decode(): value.decode() for key, value in field.metadata.items()}
        line = f"| `{field.name}` | {field.type} | {told['unit']} |"
        assert f"{line} {told['description']} |" in text, line
