"""Text that several threads read: rows and all that is known are those of one pass."""

import threading
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.common.errors import TraceError
from replay.trace.convert import open_or_convert
from replay.trace.file.read import Trace
from replay.trace.formats import text_table
from replay.trace.formats.options import FormatOptions
from replay.trace.inputs.unpack import Unpacked
from replay.trace.text import batches as text_batches
from support.kernel_text import life, perf, printed, tracepoint
from support.written import WRITERS, requests

EVENTS = FormatOptions(
    name="csv",
    columns="time=1:ns,event=2:S=issue/E=complete,device=3,op=4,offset=5:sectors,size=6:B",
)
OPTIONS = {name: FormatOptions(name=name) for name in WRITERS} | {"events": EVENTS}


def _event_rows() -> bytes:
    """Write issues and completions as rows of their own, two requests in flight."""
    lines = []
    for row in range(200):
        at = 1000 * row
        lines += [
            (at + 500 * event, f"{at + 1500 * event},{'SE'[event]},vda,W,{8 * row},512")
            for event in (0, 1)
        ]
    return "".join(f"{line}\n" for _, line in sorted(lines)).encode()


def _of(name: str) -> bytes:
    return _event_rows() if name == "events" else WRITERS[name](requests(200))


def _read(path: Path, options: FormatOptions, threads: int, block_bytes: int) -> Trace:
    with (
        mock.patch.object(text_table, "BLOCK_BYTES", block_bytes),
        mock.patch.object(text_batches, "READ_BYTES", block_bytes),
    ):
        return open_or_convert(path, format=options, threads=threads)


def _same(path: Path, options: FormatOptions, threads: int, block_bytes: int) -> None:
    with (
        _read(path, options, 1, 1 << 22) as one,
        _read(path, options, threads, block_bytes) as several,
    ):
        assert several.table().equals(one.table())
        assert several.metadata.summary == one.metadata.summary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each format, by its name."""
    place = tmp_path_factory.mktemp("written")
    for name in OPTIONS:
        (place / name).write_bytes(_of(name))
    return place


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_seam_at_every_line_changes_nothing(
    folder: Path, name: str, threads: int
) -> None:
    # GIVEN a file of which no block holds more than a line or two
    data = (folder / name).read_bytes()
    head = data.index(b"TIME") if b"TIME" in data else 0
    longest = max(map(len, data[head:].split(b"\n"))) + 1
    # WHEN several threads read it; THEN it is as one thread reads it whole
    _same(folder / name, OPTIONS[name], threads, longest + 120 * (name == "fio-iolog"))


@settings(max_examples=25)
@given(st.sampled_from([*OPTIONS]), st.integers(2, 5), st.integers(300, 9000))
def test_blocks_of_any_size_change_nothing(
    folder: Path, name: str, threads: int, block_bytes: int
) -> None:
    _same(folder / name, OPTIONS[name], threads, block_bytes)


@settings(max_examples=10)
@given(st.integers(2, 5), st.integers(1, 2000))
def test_what_lines_mean_for_each_other_is_found_in_order(
    tmp_path_factory: pytest.TempPathFactory, threads: int, block_bytes: int
) -> None:
    # GIVEN lines out of order, other events, damage, losses and a cut end
    events = [one for at in range(5000, 9000, 40) for one in life(at, 8 * at)]
    lines = printed(events, perf, tracepoint).splitlines(keepends=True)
    for place in range(5, len(lines), 17):
        lines[place - 3], lines[place] = lines[place], lines[place - 3]
    lines[40:40] = ["CPU:1 [LOST 7 EVENTS]\n", "nonsense\n", "# a comment\n"]
    path = tmp_path_factory.mktemp("kernel") / "trace.txt"
    path.write_text("".join(lines) + lines[1][:-9])
    _same(path, FormatOptions(name="kernel"), threads, block_bytes)


@pytest.mark.parametrize("name", ["msr", "biosnoop", "blkparse"])
def test_the_same_line_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    if name == "blkparse":
        lines = lines[:3] + [b"nonsense\n"] * 900
    else:
        lines[150] = lines[150].replace(b"1", b"x")
    path = tmp_path / "t"
    path.write_bytes(b"".join(lines))
    told = []
    for threads, block_bytes in ((1, 1 << 22), (3, 400)):
        with pytest.raises(TraceError) as refused:
            _read(path, OPTIONS[name], threads, block_bytes)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert _names() == []


def _names() -> list[str]:
    return [
        one.name
        for one in threading.enumerate()
        if one.name.startswith(("columns", "lines"))
    ]


@pytest.mark.parametrize("name", ["msr", "kernel"])
def test_threads_end_with_the_reading(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a file that cannot be read to its end
    (tmp_path / name).write_bytes(WRITERS[name](requests(2000)))
    seen: list[list[str]] = []
    whole = Unpacked.read

    def read(self: Unpacked, n_bytes: int) -> bytes:
        seen.append(_names())
        if len(seen) > 200:
            raise TraceError("gone")
        return whole(self, n_bytes)

    monkeypatch.setattr(Unpacked, "read", read)
    with pytest.raises(TraceError, match="gone"):
        _read(tmp_path / name, OPTIONS[name], 2, 300)
    # THEN nobody waits for it any more
    assert any(seen)
    assert _names() == []
