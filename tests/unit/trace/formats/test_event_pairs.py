"""Tables where issue and completion are rows of their own."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.common.errors import TraceError
from replay.trace.formats import event_pairs
from support.samples import read

COLUMNS = "time=t:us,offset=off:B,size=len:B,op=op,device=dev,pid=pid,event=ev"
HEAD = "t,ev,dev,off,len,op,pid,tag\n"


def table(tmp_path: Path, text: str, head: str = HEAD) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(head + text)
    return path


def rows_of(path: Path, columns: str = COLUMNS) -> list[tuple[object, ...]]:
    rows, _ = read(path, columns=columns)
    return [
        (row["issue_ns"], row["complete_ns"], row["sector"], row["op"], row["pid"])
        for row in rows
    ]


def test_a_completion_is_the_earliest_open_issues(tmp_path: Path) -> None:
    # GIVEN two reads of one place at once, a write between, and one that never ends
    path = table(
        tmp_path,
        "10,issue,sda,4096,512,R,7,1\n"
        "12,ISSUE,sda,4096,512,R,8,2\n"
        "13,D,sda,8192,4096,W,7,3\n"
        "14,issue,sdb,4096,512,R,9,4\n"
        "20,complete,sda,4096,512,R,0,1\n"
        "21,C,sda,8192,4096,W,0,3\n"
        "30,done,sda,4096,512,R,0,2\n"
        "31,issue,sda,4096,512,R,7,5\n"
        "35,complete,sda,4096,512,R,7,5\n",
    )
    # THEN each is its own
    assert rows_of(path) == [
        (0, 10_000, 8, "read", 7),
        (2_000, 20_000, 8, "read", 8),
        (3_000, 11_000, 16, "write", 7),
        (4_000, None, 8, "read", 9),
        (21_000, 25_000, 8, "read", 7),
    ]


def test_ids_tell_requests_of_one_place(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "10,issue,sda,0,512,R,7,1\n"
        "12,issue,sda,0,512,R,8,2\n"
        "20,complete,sda,0,512,R,0,2\n"
        "21,complete,sda,0,512,R,0,1\n",
    )
    found = rows_of(path, f"{COLUMNS},id=tag")
    assert [row[:2] for row in found] == [(0, 11_000), (2_000, 10_000)]


def test_words_of_ones_own_and_completions_without_an_issue(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "5,E,sda,0,512,R,7,0\n"
        "10,S,sda,0,512,R,7,1\n"
        "11,merge,sda,0,512,R,7,1\n"
        "12,E,sda,0,512,R,7,1\n",
    )
    columns = COLUMNS + ":S=issue/E=complete/merge=skip"
    rows, summary = read(path, columns=columns)
    assert [(row["issue_ns"], row["complete_ns"]) for row in rows] == [(0, 2_000)]
    assert summary.notes == ["1 completion without an issue left out."]
    assert summary.quality.unknown == 2


@pytest.mark.parametrize(
    ("columns", "text", "words"),
    [
        (COLUMNS, "1,merge,sda,0,512,R,7,1\n", "ev is 'merge', not an issue or"),
        (
            COLUMNS + ":S=begin",
            "",
            "event: 'begin' is not one of issue, complete",
        ),
        (COLUMNS + ",response=t:us", "", "leave out response, wait, issue and end"),
        (COLUMNS.replace(",event=ev", ",id=tag"), "", "id is for rows of events"),
        (
            COLUMNS,
            "9,issue,sda,0,512,R,7,1\n5,complete,sda,0,512,R,7,1\n",
            "a completion is before its issue: order the rows by time",
        ),
    ],
)
def test_what_cannot_be_paired_is_refused(
    tmp_path: Path, columns: str, text: str, words: str
) -> None:
    path = table(tmp_path, text or "1,issue,sda,0,512,R,7,1\n")
    with pytest.raises(TraceError, match=words):
        read(path, columns=columns)


def test_one_that_never_ends_holds_others_back_for_a_while_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_pairs, "_MOST_HELD", 4)
    text = "0,issue,sda,0,512,R,7,1\n" + "".join(
        f"{10 * n},{word},sda,{4096 * n},512,R,7,1\n"
        for n in range(1, 50)
        for word in ("issue", "complete")
    )
    rows = rows_of(table(tmp_path, text))
    assert [row[0] for row in rows] == [10_000 * n for n in range(50)]
    assert [row[1] is None for row in rows] == [True] + [False] * 49


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40),
)
def test_pairs_are_those_of_a_queue_for_each_key(
    events: list[tuple[int, bool]],
) -> None:
    keys = np.array([key for key, _ in events], np.int64)
    is_end = np.array([end for _, end in events], np.bool_)
    waiting: dict[int, list[int]] = {}
    expected, lost = set(), 0
    for place, (key, end) in enumerate(events):
        queue = waiting.setdefault(key, [])
        if not end:
            queue.append(place)
        elif queue:
            expected.add((queue.pop(0), place))
        else:
            lost += 1
    issue, end_, unmatched = event_pairs._paired(keys, is_end)
    found = set(zip(issue.tolist(), end_.tolist(), strict=True))
    assert (found, unmatched) == (expected, lost)
