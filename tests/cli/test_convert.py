"""``replay convert``: a trace file, or one line and nothing half-written."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from replay.cli.main import cli
from replay.trace.convert import convert, open_or_convert
from replay.trace.file.read import open_trace
from support.blktrace import write_set, writes

COMMAND = [sys.executable, "-c", "from replay.cli.main import main; main()"]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A recording of 3 writes, an empty CPU and ids."""
    directory = tmp_path / "capture"
    directory.mkdir()
    write_set(directory, "loop0", cpu0=writes(3), cpu1=b"")
    (directory / "ids").write_text("1 /\n23 /test.slice\n")
    return directory


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def refused(result: Result, *, code: int = 1) -> str:
    """Check that it is one line; return it."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_directory_becomes_a_trace_file(capture: Path, tmp_path: Path) -> None:
    # WHEN a directory is converted
    result = run("convert", capture, "-o", tmp_path / "t.arrow")
    # THEN nothing is on standard output, and a line on standard error says what came
    assert (result.exit_code, result.stdout) == (0, "")
    assert "t.arrow: 3 requests of 12 records from 2 files in " in result.stderr
    # THEN the file has the rows, and says what it was made of
    with open_trace(tmp_path / "t.arrow") as trace:
        table = trace.table()
        assert table["queue_ns"].to_pylist() == [0, 2000, 4000]
        assert table["complete_ns"].to_pylist() == [900, 2900, 4900]
        assert table["cgroup"].to_pylist() == [23, 23, 23]
        assert [
            (Path(one.path).name, one.role, one.nbytes > 0)
            for one in trace.metadata.sources
        ] == [
            ("loop0.blktrace.0", "trace", True),
            ("loop0.blktrace.1", "trace", False),
            ("ids", "cgroups", True),
        ]
        cgroups = trace.metadata.summary.cgroups
        assert [one.path for one in cgroups if one.id == 23] == ["/test.slice"]


def test_a_base_name_takes_ids_only_when_told(capture: Path, tmp_path: Path) -> None:
    run("convert", capture / "loop0", "-o", tmp_path / "without")
    run(
        "convert",
        capture / "loop0",
        "-o",
        tmp_path / "with",
        "--cgroups",
        capture / "ids",
    )
    paths = []
    for name in ("without", "with"):
        with open_trace(tmp_path / name) as trace:
            cgroups = trace.metadata.summary.cgroups
            paths.append([one.path for one in cgroups if one.id == 23])
    assert paths == [[None], ["/test.slice"]]


@pytest.mark.parametrize("options", [["--threads", "2"], ["--batch-rows", "1"]])
def test_threads_and_batches_do_not_change_the_rows(
    capture: Path, tmp_path: Path, options: list[str]
) -> None:
    run("convert", capture, "-o", tmp_path / "plain")
    run("convert", capture, "-o", tmp_path / "other", *options)
    with (
        open_trace(tmp_path / "plain") as plain,
        open_trace(tmp_path / "other") as other,
    ):
        assert plain.table().equals(other.table())
        assert plain.metadata == other.metadata


def test_missing_cpus_are_said(tmp_path: Path) -> None:
    write_set(tmp_path, "sda", cpu0=writes(1), cpu3=writes(1, start_ns=9000))
    result = run("convert", tmp_path / "sda", "-o", tmp_path / "t")
    assert "there is no file of CPUs 1-2" in result.stderr


def test_quiet_says_nothing(capture: Path, tmp_path: Path) -> None:
    result = run("convert", capture, "-o", tmp_path / "t", "-q")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00" * 100, "byte 0: "),
        (b"x", "its content does not tell what it is: say which format it is"),
        (b"", "is empty: there is nothing to convert"),
        (b"ARROW1\0\0", "is an Arrow file"),
    ],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "f").write_bytes(content)
    line = refused(run("convert", tmp_path / "f", "-o", tmp_path / "t"))
    assert f"{tmp_path / 'f'}: {reason}" in line
    assert names(tmp_path) == ["f"]


def test_a_missing_input_is_refused_with_near_names(
    capture: Path, tmp_path: Path
) -> None:
    line = refused(run("convert", capture / "lop0", "-o", tmp_path / "t"))
    assert "lop0: no such file" in line
    assert "loop0" in line
    assert names(tmp_path) == ["capture"]


def test_a_wrong_file_of_ids_is_refused(capture: Path, tmp_path: Path) -> None:
    (capture / "ids").write_text("slice 1\n")
    line = refused(run("convert", capture, "-o", tmp_path / "t"))
    assert "ids: line 1: 'slice 1' is not 'ID /PATH'" in line
    assert names(tmp_path) == ["capture"]


def test_an_existing_output_needs_overwrite(capture: Path, tmp_path: Path) -> None:
    output = tmp_path / "t"
    output.write_text("mine")
    line = refused(run("convert", capture, "-o", output))
    assert "exists already: use --overwrite" in line
    assert output.read_text() == "mine"
    assert run("convert", capture, "-o", output, "--overwrite").exit_code == 0
    with open_trace(output) as trace:
        assert trace.n_rows == 3


def test_an_input_is_never_the_output(capture: Path) -> None:
    source = capture / "loop0.blktrace.0"
    line = refused(run("convert", capture, "-o", source, "--overwrite"))
    assert "is one of the inputs" in line
    assert source.read_bytes() == writes(3)


def test_an_output_is_required(capture: Path) -> None:
    assert run("convert", capture).exit_code == 2


def test_progress_tells_bytes_to_the_end(capture: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    convert(
        capture,
        tmp_path / "t",
        batch_rows=1,
        progress=lambda done, total: told.append((done, total)),
    ).close()
    total = len(writes(3))
    assert {one[1] for one in told} == {total}
    assert [one[0] for one in told] == sorted(one[0] for one in told)
    assert told[-1] == (total, total)


@pytest.mark.parametrize("name", ["batch_rows", "threads"])
def test_nonsense_arguments_are_refused(
    capture: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        convert(capture, tmp_path / "t", **{name: 0})  # type: ignore[arg-type]


# -- for the time being


def test_a_recording_is_opened_without_leaving_a_file(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with open_or_convert(capture) as trace:
        assert names(temporary) == []
        assert trace.path == capture
        assert trace.table()["sector"].to_pylist() == [0, 8, 16]


def test_ids_can_be_given_to_a_trace_file(capture: Path, tmp_path: Path) -> None:
    convert(capture, tmp_path / "t").close()
    (tmp_path / "other").write_text("23 /renamed\n")
    with open_or_convert(tmp_path / "t", cgroups=tmp_path / "other") as trace:
        cgroups = trace.metadata.summary.cgroups
        assert [one.path for one in cgroups if one.id == 23] == ["/renamed"]


# -- interrupts


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_stop_leaves_nothing_half_written(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    # GIVEN a conversion that takes seconds
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    output.mkdir()
    write_set(source, "loop0", cpu0=writes(1000) * 2000)
    arguments = ["convert", str(source), "-o", str(output / "t"), "--batch-rows", "64"]
    with subprocess.Popen(
        [*COMMAND, *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not names(output) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # WHEN it is stopped in the middle
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    # THEN it says so by its exit code, without a traceback, and leaves no file
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert names(output) == []


def test_a_terminal_sees_a_bar_and_a_pipe_does_not(
    capture: Path, tmp_path: Path
) -> None:
    def stderr_of(stream: int) -> None:
        arguments = ["convert", str(capture), "-o", str(tmp_path / "t"), "--overwrite"]
        subprocess.run(
            [*COMMAND, *arguments],
            check=True,
            stderr=stream,
            env={**os.environ, "TERM": "xterm"},
        )

    with (tmp_path / "piped").open("wb") as piped:
        stderr_of(piped.fileno())
    terminal, child = pty.openpty()
    stderr_of(child)
    os.close(child)
    # what a read gives may end within a character
    shown = os.read(terminal, 1 << 16).decode(errors="replace")
    os.close(terminal)
    assert "Converting" not in (tmp_path / "piped").read_text()
    assert "Converting" in shown
