"""Filters: what passes, what is counted, what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
from replay.common.errors import OutputError, TraceError
from replay.trace.convert import convert, open_or_convert
from replay.trace.file.filters import Filters
from replay.trace.file.metadata import Quality, Summary
from replay.trace.file.read import Trace, open_trace
from replay.trace.file.schema import OPS
from replay.trace.file.write import write_trace
from support.blktrace import LOOP0, Event, cpu_files, note, process_note
from support.traces import FakeRows, batch_of, metadata_of, summary_of

LOOP1 = LOOP0 + 1
SECOND = 1_000_000_000
#: pid 5 is cat, and bash from 2.5 s on; pid 6 is fio; pid 7 has no name.
REQUESTS = [
    # (queue s, sector, nbytes, op, cgroup, pid, device, steps)
    (0, 0, 4096, "write", 10, 5, LOOP0, "QGDC"),
    (1, 8, 4096, "read", 11, 5, LOOP0, "QGDC"),
    (2, 16, 8192, "write", 12, 6, LOOP0, "QGD"),
    (3, 100, 512, "discard", 10, 5, LOOP1, "QGDC"),
    (4, 200, 1024, "write", 13, 7, LOOP1, "QG"),
    (5, 300, 4096, "read", 0, 7, LOOP0, "DC"),
]
PATHS = "10 /a\n11 /a/b\n12 /ab\n"


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Trace]:
    events = [
        Event(
            letter,
            1_000 + second * SECOND + 100 * step,
            sector,
            nbytes,
            op,
            cgroup=cgroup if letter == "Q" else 0,
            pid=pid,
            device=device,
        )
        for second, sector, nbytes, op, cgroup, pid, device, steps in REQUESTS
        for step, letter in enumerate(steps)
    ]
    data = cpu_files(events)[0]
    wall = note(1, (1_600_000_000).to_bytes(4, "little") + bytes(4), time_ns=1_000)
    names = b"".join(
        process_note(name, pid=pid, time_ns=at_ns)
        for name, pid, at_ns in (
            (b"cat", 5, 500),
            (b"fio", 6, 900),
            (b"bash", 5, 1_000 + 5 * SECOND // 2),
        )
    )
    (tmp_path / "sda.blktrace.0").write_bytes(wall + names + data)
    (tmp_path / "paths").write_text(PATHS)
    with convert(
        tmp_path / "sda", tmp_path / "t.arrow", cgroups=tmp_path / "paths"
    ) as whole:
        assert whole.n_rows == len(REQUESTS)
        yield whole


def kept(trace: Trace, **filters: Any) -> list[int]:
    """Queue or issue seconds of what passes."""
    with open_or_convert(trace.path, filters=Filters(**filters)) as passed:
        table = passed.table()
        issue, queue = table["issue_ns"].to_pylist(), table["queue_ns"].to_pylist()
    times = [q if q is not None else i for q, i in zip(queue, issue, strict=True)]
    return [time // SECOND for time in times]


@pytest.mark.parametrize(
    ("filters", "seconds"),
    [
        ({"begin": "1", "end": "3"}, [1, 2]),
        ({"begin": "2.0000000001"}, [2, 3, 4, 5]),
        ({"begin": "2.000000001s"}, [3, 4, 5]),
        ({"end": "0.5"}, [0]),
        ({"begin": "2020-09-13T12:26:43"}, [3, 4, 5]),
        ({"begin": "2020-09-13 14:26:43.000000001+02:00"}, [4, 5]),
        ({"devices": ["7:1"]}, [3, 4]),
        ({"devices": ["7:1", "7:0"], "ops": ["discard"]}, [3]),
        # with what is below it, but not what only begins like it
        ({"cgroups": ["/a"]}, [0, 1, 3]),
        ({"cgroups": ["10"]}, [0, 1, 3]),
        ({"cgroups": ["/a/b/"]}, [1]),
        ({"cgroups": ["id:13", "/ab"]}, [2, 4]),
        ({"cgroups": ["/"]}, [0, 1, 2, 3, 4, 5]),
        ({"processes": ["5"]}, [0, 1, 3]),
        ({"processes": ["cat"]}, [0, 1]),
        ({"processes": ["[bc]a*"]}, [0, 1, 3]),
        ({"processes": ["fio", "7"]}, [2, 4, 5]),
        ({"ops": ["read", "discard"]}, [1, 3, 5]),
        ({"sectors": "0-7"}, [0]),
        ({"sectors": "7-8"}, [0, 1]),
        ({"sectors": "31-99"}, [2]),
        ({"sectors": "32-99"}, []),
        ({"sectors": "101-18446744073709551615"}, [4, 5]),
        ({"sectors": "100"}, [3]),
    ],
)
def test_what_passes(trace: Trace, filters: dict[str, Any], seconds: list[int]) -> None:
    assert kept(trace, **filters) == seconds


def test_what_is_left_out_is_counted(trace: Trace, tmp_path: Path) -> None:
    # WHEN two filters are given
    filters = Filters(begin="1", ops=["write"])
    with convert(trace.path, tmp_path / "f.arrow", filters=filters) as passed:
        summary = passed.metadata.summary
        table = passed.table()
    whole = trace.metadata.summary
    # THEN each request is counted by the first filter that left it out
    assert summary.quality.filtered == {"time": 1, "op": 3}
    assert summary.n_rows == table.num_rows == 2
    # THEN bios and requests add up to the recording's
    assert summary.quality.filtered_bios + 2 == 5
    assert (summary.quality.unfinished, summary.quality.never_issued) == (1, 1)
    assert summary.quality.records == whole.quality.records
    # THEN the tallies are of what passed, and the clock is the recording's
    assert [(one.id, one.n_requests, one.nbytes) for one in summary.cgroups] == [
        (12, 1, 8192),
        (13, 1, 1024),
    ]
    assert [one.pid for one in summary.processes] == [6, 7]
    assert (summary.start_ns, summary.wall_clock_ns) == (
        whole.start_ns,
        whole.wall_clock_ns,
    )
    assert summary.notes[-1].startswith(
        "Filtered by --from 1 --op write: 2 of 6 requests"
    )
    # WHEN it is filtered again THEN counts go on
    with open_or_convert(tmp_path / "f.arrow", filters=Filters(end="3")) as again:
        quality = again.metadata.summary.quality
    assert quality.filtered == {"time": 2, "op": 3}
    assert quality.filtered_bios == 4


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"begin": "soon"}, "--from soon: is neither seconds"),
        ({"begin": "2020-13-40T00:00"}, "there is no such time"),
        ({"begin": "3", "end": "2"}, "nothing is between"),
        ({"end": "0"}, "--until 0: nothing is between"),
        ({"begin": "999"}, "--from 999: the trace ends 5 s after its start"),
        ({"devices": ["7:9"]}, "--device 7:9: is not in the trace: did you mean 7:"),
        ({"cgroups": ["/c"]}, "no cgroup of the trace is there: there are /a"),
        ({"cgroups": ["99"]}, "--cgroup 99: is not in the trace"),
        ({"processes": ["dd*"]}, "no process has that name: there are"),
        ({"ops": ["erase"]}, "--op erase: is not one of read, write"),
        ({"sectors": "a-b"}, "is not A-B"),
        ({"sectors": "9-8"}, "there is no sector between"),
        ({"sectors": "0-18446744073709551616"}, "there is no sector between"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    trace: Trace, filters: dict[str, Any], text: str
) -> None:
    with pytest.raises(TraceError, match=text.replace("*", r"\*")):
        kept(trace, **filters)


def test_a_wall_clock_time_needs_a_wall_clock(tmp_path: Path) -> None:
    data = cpu_files([Event("Q", 5), Event("D", 6)])[0]
    (tmp_path / "sda.blktrace.0").write_bytes(data)
    with pytest.raises(TraceError, match="does not say what the wall clock was"):
        convert(
            tmp_path / "sda",
            tmp_path / "t.arrow",
            filters=Filters(begin="2020-01-01T00:00"),
        )


def test_the_input_is_not_overwritten_by_its_own_rows(trace: Trace) -> None:
    with pytest.raises(OutputError, match="is the input"):
        convert(trace.path, trace.path, overwrite=True, filters=Filters(begin="1"))


def test_no_filter_is_no_filter() -> None:
    assert not Filters()
    assert Filters(ops=("read",))


def test_run_replays_only_what_passes(trace: Trace) -> None:
    result = replay.run(trace.path, filters=Filters(ops=("write",)))
    counts = result.info["counts"]
    assert counts["requests"] + counts["unissued"] == 3
    assert any("Filtered by --op write" in note for note in result.info["notes"])


@given(data=st.data())
def test_filters_keep_what_a_plain_look_would(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    # GIVEN any rows and any window, operations and sectors

    def describe(summary: Summary) -> Any:
        return metadata_of(summary_of(len(rows), quality=Quality(unfinished=99)))

    number = st.integers(0, 40)
    rows = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "queue_ns": st.none() | number,
                    "sector": number,
                    "nbytes": st.sampled_from((0, 1, 512, 4096)),
                    "op": st.sampled_from(OPS),
                    "n_bios": st.integers(0, 3),
                }
            ),
            max_size=12,
        )
    )
    rows = [{**row, "issue_ns": 40 + place} for place, row in enumerate(rows)]
    first, last = sorted((data.draw(number), data.draw(number)))
    ops = data.draw(st.sets(st.sampled_from(OPS), min_size=1))
    path = tmp_path_factory.mktemp("rows") / "t.arrow"
    write_trace(path, FakeRows([batch_of(rows)] if rows else []), describe)
    # WHEN they are filtered
    filters = Filters(ops=sorted(ops), sectors=f"{first}-{last}")
    with open_trace(path) as whole, open_or_convert(path, filters=filters) as passed:
        found = passed.table().to_pylist()
        whole_rows = whole.table().to_pylist()
        quality = passed.metadata.summary.quality
    # THEN those are there that a plain look finds
    expected = [
        row
        for row in whole_rows
        if row["op"] in ops
        and row["sector"] <= last
        and row["sector"] + max(-(-row["nbytes"] // 512), 1) > first
    ]
    assert found == expected
    # THEN counts add up
    assert sum(quality.filtered.values()) + len(found) == len(rows)
    n_bios = sum(row["n_bios"] for row in found)
    assert quality.filtered_bios + n_bios == sum(row["n_bios"] for row in whole_rows)
