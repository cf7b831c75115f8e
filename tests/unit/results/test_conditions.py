"""Conditions in words: what they mean, and how wrong ones are refused."""

from fractions import Fraction
from pathlib import Path

import pytest

from replay.results.compare import Breach, compare
from replay.results.conditions import ConditionError, parse_change, parse_condition
from replay.results.measures import COUNT, MEASURES, SCHEMA, measures
from replay.results.result import Result
from support import results as made

B = "/test.slice/b"


def failed(change: str, base: Result, other: Result) -> list[tuple[str, int, int]]:
    found = compare(base, other).breaches([parse_change(change)])
    assert all(isinstance(one, Breach) for one in found)
    return [(one.cgroup, one.base, one.other) for one in found]


def test_measures_are_those_of_the_tables() -> None:
    # GIVEN the hand-made result, WHEN its measures are taken
    table = measures(made.result().tables, by_op=True)
    assert table.schema == SCHEMA
    rows = {(row["cgroup"], row["op"]): row for row in table.to_pylist()}
    # THEN every cgroup has a row, and each of its operations one of its own
    assert [key for key in rows if key[1] == "all"] == [
        (cgroup, "all") for cgroup in made.CGROUPS
    ]
    b = rows[B, "all"]
    assert (b["requests"], b["mean_ns"], b["max_ns"]) == (2, 21 * made.MS, 32 * made.MS)
    assert (b["wait_ns"], b["wait_others_ns"]) == (39 * made.MS, 38 * made.MS)
    assert (b["io_bytes"], b["charged_bytes"], b["refused_bytes"]) == (
        196 * 1024,
        64 * 1024,
        4096,
    )
    assert (b["peak_bytes"], b["kills"], b["oom"], b["errors"]) == (64 * 4096, 1, 1, 1)
    assert rows["/", "all"]["io_bytes"] == 256 * 1024
    # AND times are null where there was no request
    assert rows["/", "all"]["p99_ns"] is None
    assert (rows[B, "read"]["requests"], rows[B, "read"]["mean_ns"]) == (1, 10**7)
    assert rows[B, "read"]["kills"] is None


def test_the_document_lists_every_measure(top: Path) -> None:
    page = (top / "docs" / "compare.md").read_text()
    for one in MEASURES.values():
        unit = "" if one.unit == COUNT else one.unit
        assert f"| `{one.name}` | `{one.column}` | {unit} | {one.text} |" in page


@pytest.mark.parametrize(
    ("text", "column", "cgroup", "how", "value"),
    [
        ("p99<10ms", "p99_ns", None, "<", 10_000_000),
        ("p99_ns <= 1.5 us", "p99_ns", None, "<=", 1500),
        ("kills=0", "kills", None, "=", 0),
        ("peak@/a<=64M", "peak_bytes", "/a", "<=", 64 << 20),
        ("charged_bytes@id:77 > 0", "charged_bytes", "id:77", ">", 0),
        ("wait=0", "wait_ns", None, "=", 0),
    ],
)
def test_conditions_name_measure_cgroup_and_value(
    text: str, column: str, cgroup: str | None, how: str, value: int
) -> None:
    found = parse_condition(text)
    assert (found.measure.column, found.cgroup) == (column, cgroup)
    assert (found.how, found.value, found.relative) == (how, Fraction(value), False)


def test_a_condition_holds_by_its_comparison_and_without_requests() -> None:
    row = dict.fromkeys(MEASURES, 10)
    for text, holds in (
        ("p99<11ns", True),
        ("p99<10ns", False),
        ("p99<=10ns", True),
        ("p99>10ns", False),
        ("p99>=10ns", True),
        ("kills=10", True),
        ("kills=0", False),
    ):
        assert parse_condition(text).holds(row) is holds
    assert parse_condition("p99<1ns").holds({"p99_ns": None})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99", "is not a condition such as"),
        ("p98<1ms", "no measure 'p98': did you mean 'p99'"),
        ("colour<1", "no measure 'colour': there are requests, mean, p50"),
        ("p99<10", "'10' is not a value such as 1ns, 1us, 1ms, 1s"),
        ("kills<1M", "'1M' is not a value such as 1"),
        ("peak<1 MB", "'1 MB' is not a size such as"),
        ("p99@a<1ms", "'a' is not a cgroup's path"),
    ],
)
def test_a_wrong_condition_is_refused_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ConditionError, match=r"^" + repr(text)) as error:
        parse_condition(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99=10ms", "a change is more than"),
        ("p99>=10%", "a change is more than"),
        ("p99>-5%", "> takes 0 or more"),
        ("kills<1", "< takes 0 or less"),
        ("p99>ten%", "'ten' is not a value"),
    ],
)
def test_a_wrong_change_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConditionError) as error:
        parse_change(text)
    assert said in str(error.value)


def test_changes_are_found_for_each_cgroup_that_has_them() -> None:
    base, other = made.result(), made.per_cgroup()
    # /test.slice pays instead of /, a second task is killed, b waits less
    assert failed("io_bytes>0", base, other) == [("/test.slice", 0, 256 * 1024)]
    assert failed("io_bytes<0", base, other) == [("/", 256 * 1024, 0)]
    assert failed("io_bytes>256K", base, other) == []
    assert failed("kills>0", base, other) == [(B, 1, 2)]
    assert failed("kills>0", other, base) == []
    assert failed("wait_others<-20ms", base, other) == [(B, 38 * made.MS, 8 * made.MS)]
    assert failed("errors>0", base, other) == []


def test_shares_are_of_the_base_and_of_nothing_any_change_is_more() -> None:
    base, other = made.result(), made.per_cgroup()
    assert failed("mean<-70%", base, other) == [(B, 21 * made.MS, 6 * made.MS)]
    assert failed("mean<-72%", base, other) == []
    assert failed("mean>249%", other, base) == [(B, 6 * made.MS, 21 * made.MS)]
    assert failed("mean>250%", other, base) == []
    assert failed("io_bytes>1000%", base, other) == [("/test.slice", 0, 256 * 1024)]


def test_times_are_compared_where_both_have_requests() -> None:
    # GIVEN a result in which b's requests never completed
    raw = made.raw_result()
    raw |= made.timed({key: ms for key, ms in made.TIMES.items() if key[0] == 1})
    none = made.result(raw)
    # THEN that is no change of its times, but one of its requests
    assert failed("p99>0s", none, made.result()) == []
    assert failed("p99<0s", made.result(), none) == []
    assert failed("requests<0", made.result(), none) == [(B, 2, 0)]


def test_a_cgroup_may_be_named_but_must_exist() -> None:
    base, other = made.result(), made.per_cgroup()
    assert failed("io_bytes@/>0", base, other) == []
    assert failed("io_bytes@/test.slice>0", base, other) != []
    with pytest.raises(ConditionError, match="no cgroup '/tset' in base or other"):
        failed("io_bytes@/tset>0", base, other)
