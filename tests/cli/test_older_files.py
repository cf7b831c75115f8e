"""Files that earlier versions wrote: they open, or one line says what to do."""

import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

import replay
from replay.cli.main import cli
from replay.common.version import MODEL_VERSION

#: What 0.1.0 made of ``traces/seed-oom-direct``: a trace file, a result with a
#: timeline, a dataset of two policies.
KEPT = Path(__file__).parents[1] / "samples" / "kept-0.1.0.tar.zst"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    with (
        pa.CompressedInputStream(pa.OSFile(str(KEPT)), "zstd") as raw,
        tarfile.open(fileobj=raw, mode="r|") as tar,
    ):
        filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(tmp_path, **filters)  # type: ignore[arg-type]
    return tmp_path


def call(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def test_a_trace_file_of_0_1_0_is_replayed_as_its_recording(
    kept: Path, top: Path
) -> None:
    # GIVEN the trace file that 0.1.0 made of a recording
    recording = top / "traces" / "seed-oom-direct"
    # WHEN both are replayed
    old, new = (
        replay.run(trace, f"{recording}.toml")
        for trace in (kept / "trace.arrow", recording)
    )
    # THEN the answers are equal
    for name in ("charges", "memory", "latency", "kills", "errors"):
        assert getattr(old, name).to_pylist() == getattr(new, name).to_pylist(), name


def test_a_result_of_0_1_0_is_compared_and_said_to_be_of_older_rules(
    kept: Path, top: Path
) -> None:
    # GIVEN a result of 0.1.0 and today's of the same trace and scenario
    trace = top / "traces" / "seed-oom-direct"
    call("run", trace, "-s", f"{trace}.toml", "-o", kept / "new", "-q")
    # WHEN they are compared
    shown = call("compare", kept / "result", kept / "new")
    # THEN it is said that the rules are others
    assert (
        "  base: made by replay 0.1.0, whose rules are version 1 "
        f"(now {MODEL_VERSION}): what differs may be the rules', run it again\n"
    ) in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("report", "result", "-o", "page.html"), "run it again"),
        (
            (
                "compare",
                "dataset",
                "--scenario",
                "*:root",
                "--scenario",
                "*:per-cgroup",
            ),
            "make it again",
        ),
        (("batch", "trace.arrow", "-o", "dataset"), "name another dataset"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_read_any_more_is_refused_in_one_line(
    kept: Path, arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept)
    shown = call(*arguments, code=1)
    assert shown.startswith("Error: ")
    assert told in shown
    assert shown.count("\n") == 1
