"""The notebook of the docs, run: ``python -m documents.notebooks`` keeps its output."""

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TOP = Path(__file__).parents[2]
NOTEBOOK = TOP / "docs" / "notebook.ipynb"


def executed(path: Path = NOTEBOOK) -> Any:
    """Return a notebook with the output of today, run from the top of the checkout.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    # the kernel is this environment's, whatever others are registered
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(TOP / "src"), os.environ.get("PYTHONPATH", "")]
    )
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(TOP)}}
    )
    client.execute(cleanup_kc=True)
    for cell in notebook.cells:
        # when it ran is of no interest, and would change the file daily
        cell.metadata.pop("execution", None)
    return notebook


def main() -> None:
    """Write the output into the notebook."""
    nbformat.write(executed(), NOTEBOOK)


if __name__ == "__main__":
    main()
