"""What a command imports: a guard of its start that no busy machine disturbs."""

import subprocess
import sys
from pathlib import Path

from support.blktrace import writes

#: Slow to import, and nothing that a run of a recording needs.
SLOW = {
    "hmac",
    "numpy.ma",
    "numpy.random",
    "pandas",
    "pyarrow.acero",
    "pyarrow.compute",
    "pyarrow.dataset",
    "replay.trace.text.blkparse",
    "replay.trace.file.filters",
    "replay.trace.formats.registry",
    "rich._emoji_codes",
    "rich.progress",
    "secrets",
    "shutil",
    "tarfile",
    "tempfile",
    "tomllib",
    "zipfile",
}
CODE = """
import sys
from replay.cli import main
main._leave = lambda code: None
try:
    main.main()
except SystemExit as ended:
    assert not ended.code
print(*sys.modules, file=sys.stderr)
"""


def test_run_of_a_recording_imports_nothing_slow(tmp_path: Path) -> None:
    # GIVEN a recording
    recording = tmp_path / "loop0.blktrace.0"
    recording.write_bytes(writes(3))
    # WHEN it is replayed, with tables and summary
    done = subprocess.run(
        [sys.executable, "-c", CODE, "run", "-q", recording, "-o", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    # THEN tables are there, and what takes long to import was not needed for them
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "latency.parquet").exists()
    imported = set(done.stderr.split())
    assert "pyarrow.parquet" in imported
    assert sorted(SLOW & imported) == []


def test_signals_are_minded_before_the_library_is_imported() -> None:
    # until then Ctrl-C is Python's, and prints a traceback: the package imports its
    # errors alone, and what these need
    code = "import sys; before = set(sys.modules)\n"
    code += "import replay.cli.start; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    ours = [name for name in done.stdout.split() if name.startswith("replay")]
    assert ours == [
        *("replay", "replay.cli", "replay.cli.start", "replay.common"),
        *("replay.common.errors", "replay.common.plain", "replay.common.version"),
    ]
    assert not {"json", "pathlib", "dataclasses"} & set(done.stdout.split())
