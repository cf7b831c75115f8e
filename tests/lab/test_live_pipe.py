"""A live ``blktrace -o - | replay convert -``, both of them in the guest."""

from pathlib import Path

import pytest

import replay
from lab.virtual_machine import VirtualMachine

KIB = 1 << 10

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def piped(machine: VirtualMachine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guest's script left, after one boot."""
    output = tmp_path_factory.mktemp("live") / "out"
    machine.run((Path(__file__).parent / "live.sh").read_text(), output, seconds=600)
    return output


def test_a_live_pipe_gives_what_the_stream_held_and_the_kernel_counted(
    piped: Path, tmp_path: Path
) -> None:
    # GIVEN blktrace that was interrupted while it wrote into the pipe
    said = (piped / "convert.err").read_text()
    assert (piped / "convert.after").read_text().split() == ["0"], said
    # WHEN the trace file of the guest is opened here
    with (
        replay.open_trace(piped / "live.arrow") as live,
        replay.convert(
            piped / "stream", tmp_path / "stream.arrow", cgroups=piped / "ids"
        ) as saved,
    ):
        # THEN it is what the stream's own bytes give
        assert live.table().equals(saved.table())
        summary = live.metadata.summary
    # AND every request is there, on both CPUs, once
    assert (summary.quality.lost, summary.quality.unmatched) == ({}, {})
    assert (summary.quality.unfinished, summary.quality.refused_bytes) == (0, 0)
    nbytes = {one.path: one.nbytes for one in summary.cgroups if one.n_requests}
    assert nbytes == {"/a": 4 * 1024 * KIB, "/p/b": 4 * 256 * KIB}
    for path, name in (("/a", "a"), ("/p/b", "p_b")):
        (line,) = (
            line
            for line in (piped / f"{name}.io.stat").read_text().splitlines()
            if line.startswith("7:0 ")
        )
        kernel = dict(pair.split("=") for pair in line.split()[1:])
        assert int(kernel["wbytes"]) == nbytes[path]
        mine = next(one for one in summary.cgroups if one.path == path)
        assert int(kernel["wios"]) == mine.n_bios


def test_a_timed_stream_from_the_device_file(piped: Path) -> None:
    said = (piped / "timed.convert.err").read_text()
    assert (piped / "timed.after").read_text().split() == ["0"], said
    with replay.open_trace(piped / "timed.arrow") as trace:
        rows = trace.table().to_pylist()
    assert sum(row["nbytes"] for row in rows) == 256 * KIB
