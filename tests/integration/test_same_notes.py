"""What a run says of its estimates, every command says that shows its numbers."""

import html
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import replay
from replay.cli.main import cli

#: A recording, and what is asked of it: each with several notes.
CASES = {
    "real-disk/p1-both": (
        "/rd_b/io.max=254:0 wbps=209715200",
        "trace.scheduler=kyber",
        "trace.wbt=true",
    ),
    "7.3/seq-read-128": ("/a/memory.max=24M", "backing.filesystem=ext4"),
    "6.1/workers-per-cgroup": ("/a/memory.max=24M", "driver.policy=root"),
}


def printed(*arguments: str) -> str:
    """Run a command; return what it prints, with line breaks as blanks."""
    found = CliRunner().invoke(cli, arguments)
    assert found.exit_code == 0, found.output
    return " ".join(found.output.split())


@pytest.mark.parametrize("name", CASES)
def test_every_command_prints_the_notes_of_a_run(
    recording: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    # GIVEN a run of which there is something to be said
    trace, keys = str(recording(name)), CASES[name]
    given = [word for key in keys for word in ("--set", key)]
    notes = replay.run(trace, overrides=keys).info["notes"]
    assert len(notes) >= 2
    out, page = str(tmp_path / "out"), str(tmp_path / "page.html")
    dataset = str(tmp_path / "dataset")
    # WHEN every command shows it
    shown = {
        "run": printed("run", trace, *given, "-o", out, "--report", page),
        "compare": printed("compare", out, out),
        "sweep": printed("sweep", trace, *given, "--vary", "driver.errors=kernel"),
        "batch": printed("batch", trace, *given, "-o", dataset, "-j", "1"),
        "report": html.unescape(Path(page).read_text()),
    }
    # THEN each says all of it
    for command, text in shown.items():
        missing = [note for note in notes if note not in text]
        assert not missing, command
    (row,) = replay.open_dataset(dataset).runs.to_pylist()
    assert row["notes"] == notes
