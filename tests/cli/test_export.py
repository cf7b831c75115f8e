"""``replay export``: a result for another program."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from replay.cli.main import cli


def test_a_result_is_written_for_perfetto(top: Path, tmp_path: Path) -> None:
    # GIVEN a result with its requests
    trace = str(top / "traces" / "high-alone")
    out, file = str(tmp_path / "out"), tmp_path / "out.pftrace"
    done = CliRunner().invoke(cli, ["run", trace, "--requests", "-q", "-o", out])
    assert done.exit_code == 0, done.output
    # WHEN it is exported THEN the file is there, and a second one asks
    command = ["export", out, "--to", "perfetto", "-o", str(file)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert file.stat().st_size > 0
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1
    assert "exists" in done.stderr
    # and from a time on at which none arrives any more there is nothing to write
    late = tmp_path / "late.pftrace"
    done = CliRunner().invoke(cli, [*command[:-1], str(late), "--from", "1000"])
    assert done.exit_code == 1
    assert "no request arrives 1000 s after" in done.stderr
    assert not late.exists()


def test_a_page_of_a_recording_is_asked_of_run_or_info(top: Path) -> None:
    trace = str(top / "traces" / "high-alone")
    done = CliRunner().invoke(cli, ["report", trace, "-o", "nowhere.html"])
    assert done.exit_code == 1
    assert f"'replay info {trace} --report FILE.html'" in done.stderr


@pytest.mark.parametrize("to", ["nix", ""])
def test_what_no_program_reads_is_refused(to: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", str(tmp_path), "--to", to])
    assert done.exit_code == 2
