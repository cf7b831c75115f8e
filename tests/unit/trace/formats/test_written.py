"""One set of requests, written in every format: the same rows, and no wrong guess."""

from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.formats.registry import NAMES
from support.samples import read
from support.written import ANSWERED, UNTOLD, WRITERS, requests


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each format, by its name."""
    place = tmp_path_factory.mktemp("written")
    for name, write in WRITERS.items():
        (place / name).write_bytes(write(requests()))
    return place


def test_every_format_is_written() -> None:
    assert {*WRITERS} == {*NAMES} - {"csv"}


@pytest.mark.parametrize("name", WRITERS)
def test_requests_come_back(folder: Path, name: str) -> None:
    # GIVEN a file whose format is told by its content, or else must be named
    path = folder / name
    if name in UNTOLD:
        with pytest.raises(TraceError, match=r"say (which format it is|--format)"):
            read(path)
    # WHEN it is read
    rows, summary = read(path, name if name in UNTOLD else None)
    # THEN each request is there, in the right units
    wanted = requests()
    assert summary.format == name
    assert [(row["op"], row["sector"], row["nbytes"]) for row in rows] == [
        ("read" if one.read else "write", *(one.sector, one.span[1])) for one in wanted
    ]
    arrivals = [row["queue_ns"] for row in rows]
    if name == "tencent":
        # whole seconds are all that it knows
        seconds = [one.time_us // 1_000_000 for one in wanted]
        assert [time // 10**9 for time in arrivals] == seconds
    else:
        assert arrivals == [1000 * one.time_us for one in wanted]
    assert [row["complete_ns"] for row in rows] == [
        1000 * (one.time_us + one.response_us) if name in ANSWERED else None
        for one in wanted
    ]
    assert sum(cgroup.n_requests for cgroup in summary.cgroups) == len(wanted)
    assert sum(device.n_requests for device in summary.devices) == len(wanted)


@pytest.mark.parametrize(
    ("name", "guess"),
    [(name, guess) for name in WRITERS for guess in WRITERS if guess != name],
)
def test_a_wrong_guess_is_refused(folder: Path, name: str, guess: str) -> None:
    with pytest.raises(TraceError) as refusal:
        read(folder / name, guess)
    assert str(refusal.value).startswith(str(folder / name))
