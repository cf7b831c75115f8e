"""What --vary means, and where a search looks."""

from itertools import pairwise

import pytest

from replay.common.errors import ScenarioError
from replay.sweeps.axes import parse_axis, points
from replay.sweeps.knee import Search, between

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("/a/memory.max=32M,48M,max", ["32M", "48M", "max"]),
        ("/a/memory.max=16M..64M*2", ["16M", "32M", "64M"]),
        ("/a/memory.max=16M..60M+16M", ["16M", "32M", "48M", "60M"]),
        ("/a/memory.max=16M..20M*1.25", ["16M", "20M"]),
        ("/a/memory.max=10M..12M*1.1", ["10M", "11M", "12M"]),
        ("/a/memory.max=1M,4M..16M*2", ["1M", "4M", "8M", "16M"]),
        ("driver.policy=root,per-cgroup", ["root", "per-cgroup"]),
        ("machine.cpus=1..3+1", ["1", "2", "3"]),
        ("driver.alloc_fail.probability=0.1..0.3+0.1", ["0.1", "0.2", "0.3"]),
        (
            "/a/io.max=254:32 wbps=1M..4M*2",
            [f"254:32 wbps={n * MIB}" for n in (1, 2, 4)],
        ),
        ("/a/io.max=7:0 wbps=1M,7:0 wbps=3M", ["7:0 wbps=1048576", "7:0 wbps=3145728"]),
        ('trace.devices=["7:0", "7:1"],["7:0"]', ['["7:0", "7:1"]', '["7:0"]']),
    ],
)
def test_values_are_lists_ranges_and_words(text: str, values: list[str]) -> None:
    axis = parse_axis(text)
    assert (axis.key, list(axis.values)) == (text.partition("=")[0], values)


def test_a_factor_gives_whole_pages_and_both_ends() -> None:
    axis = parse_axis("/a/memory.max=1M..100M*1.37")
    numbers = [number for number in axis.numbers if number is not None]
    assert (numbers[0], numbers[-1]) == (MIB, 100 * MIB)
    assert all(number % 4096 == 0 for number in numbers)
    for low, high in pairwise(numbers[:-1]):
        assert high / low == pytest.approx(1.37, abs=0.01)


def test_numbers_have_a_label_and_can_be_written_again() -> None:
    rate = parse_axis("/a/io.max=254:32 wbps=1M..4M*2 riops=9")
    assert (rate.label, rate.is_rate) == ("/a/io.max wbps", True)
    assert rate.numbers == (MIB, 2 * MIB, 4 * MIB)
    assert rate.text(77) == "254:32 wbps=77 riops=9"
    limit = parse_axis("/a/memory.max=32M,max")
    assert (limit.numbers, limit.is_limit) == ((32 * MIB, None), True)
    assert limit.text(33 * MIB + 4096) == "33796K"
    assert parse_axis("driver.policy=root,naive").numbers == ()
    # a version is no number: 6.6 comes before 6.12
    assert parse_axis("driver.kernel=6.6,6.12").numbers == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/a/memory.max", "is not KEY=VALUES"),
        ("/a/memory.max=", "is not KEY=VALUES"),
        ("/a/memory.max=1M,,2M", "a value is empty"),
        ("/a/memory.max=1M,1M", "1M is there twice"),
        ("/a/memory.max=1M..2M", "is not a range such as"),
        ("/a/memory.max=1M..2M*1", "has no end"),
        ("/a/memory.max=2M..1M*2", "has no end"),
        ("/a/memory.max=0..1M*2", "has no end"),
        ("/a/memory.max=1..1G+1", "more than 100,000 values"),
        ("/a/memory.max=1X..2M*2", "is not a range such as"),
    ],
)
def test_what_cannot_be_varied_is_refused(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse_axis(text)
    assert str(error.value).startswith(f"--vary {text!r}: ")
    assert said in str(error.value)


def test_several_keys_are_a_grid_or_go_in_step() -> None:
    axes = [parse_axis("driver.policy=root,naive"), parse_axis("machine.cpus=1,2")]
    assert points(axes) == [
        ("root", "1"),
        ("root", "2"),
        ("naive", "1"),
        ("naive", "2"),
    ]
    assert points(axes, in_step=True) == [("root", "1"), ("naive", "2")]
    with pytest.raises(ScenarioError, match="different numbers of values"):
        points([*axes, parse_axis("service.parallel=1,2,3")], in_step=True)
    with pytest.raises(ScenarioError, match=r"machine\.cpus: is there twice"):
        points([*axes, axes[1]])
    many = parse_axis("service.parallel=1..1000+1")
    with pytest.raises(ScenarioError, match="1,000,000 points"):
        points([many, parse_axis("machine.cpus=1..1000+1")])


def search(text: str, edge: int, **more: bool) -> tuple[Search, int]:
    """Look for the least number from which on a condition holds; count the looks."""
    axis = parse_axis(text)
    found = Search(axis, [(n, n is None or n >= edge) for n in axis.numbers])
    looks = 0
    while (number := found.next()) is not None:
        found.add(number, number >= edge)
        looks += 1
    return found, looks


@pytest.mark.parametrize("edge", [MIB + 1, 3 * MIB, 5_000_000, 64 * MIB])
def test_a_limit_is_found_to_the_page(edge: int) -> None:
    found, looks = search("/a/memory.max=1M..64M*4", edge)
    at = found.change
    assert at is not None
    (low, held_low), (high, held_high) = found.outcomes[at : at + 2]
    assert (held_low, held_high) == (False, True)
    assert low is not None
    assert high is not None
    assert high - low == 4096
    assert low < edge <= high
    assert looks <= 14


def test_a_rate_is_found_within_one_per_cent() -> None:
    found, _ = search("/a/io.max=7:0 wbps=1M..64M*4", 33_333_333)
    at = found.change
    assert at is not None
    low, high = (number for number, _ in found.outcomes[at : at + 2])
    assert low is not None
    assert high is not None
    assert low < 33_333_333 <= high <= low * 1.0102


def test_a_count_is_found_exactly_and_a_fraction_within_one_per_cent() -> None:
    found, _ = search("machine.cpus=1,100", 37)
    assert [n for n, _ in found.outcomes if n in (36, 37)] == [36, 37]
    axis = parse_axis("driver.alloc_fail.probability=0.1,0.9")
    low, high = 0.1, 0.9
    while (middle := between(axis, low, high)) is not None:
        low, high = (middle, high) if middle < 0.3 else (low, float(middle))
    assert 0.297 <= high <= 0.303


def test_nothing_is_looked_for_where_nothing_changes_or_up_to_max() -> None:
    assert search("/a/memory.max=1M..64M*2", 1)[1] == 0
    assert search("/a/memory.max=1M..64M*2", 1 << 40)[1] == 0
    # from 64M to max there is no number halfway
    found, looks = search("/a/memory.max=1M,64M,max", 1 << 40)
    assert (looks, found.change) == (0, 1)


def test_an_outcome_that_changes_twice_is_followed_at_its_last_change() -> None:
    axis = parse_axis("machine.cpus=1,2,3,40")
    found = Search(axis, [(1, True), (2, False), (3, True), (40, False)])
    assert found.n_changes == 3
    while (number := found.next()) is not None:
        found.add(number, number < 17)
    at = found.change
    assert at is not None
    assert [number for number, _ in found.outcomes[at : at + 2]] == [16, 17]
