"""The notebook of the docs runs, and shows what is kept in it."""

from typing import Any

import nbformat

from documents.notebooks import NOTEBOOK, executed


def shown(notebook: Any) -> list[tuple[str, bool]]:
    """What each output is in words, and whether a picture is in it."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return [
        (str(one.data.get("text/plain")), "<svg" in one.data.get("text/html", ""))
        for one in outputs
    ]


def test_the_notebook_of_the_docs_shows_what_is_kept_in_it() -> None:
    # GIVEN the notebook as it is kept, WHEN it is run
    kept, now = nbformat.read(NOTEBOOK, as_version=4), executed()
    # THEN no cell fails, each shows the same, and there are pictures
    assert shown(now) == shown(kept)
    assert sum(picture for _, picture in shown(now)) >= 4
