"""Sizes, trees and refusals of scenarios over random input."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from replay.common.errors import ScenarioError
from replay.scenario.binding.tree import are_plain, build_tree
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.paths import MAX_PATH, check_path, parent_path
from replay.scenario.keys.sizes import format_size, limit_pages, parse_size, whole_pages
from replay.scenario.keys.table import KEYS

NAMES = st.sampled_from(["a", "b", "a-b", "a.slice", "id:7", "z"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


Input = TypeVar("Input")
Output = TypeVar("Output")


def attempt(
    function: Callable[[Input], Output], argument: Input
) -> tuple[Output | None, str]:
    """Return what a function returns, or the reason why it refuses."""
    try:
        return function(argument), ""
    except (ValueError, ScenarioError) as error:
        return None, str(error)


@given(st.integers(0, 2**64 - 1))
def test_formatted_size_is_read_back_exactly(nbytes: int) -> None:
    assert parse_size(format_size(nbytes)) == nbytes


@given(st.integers(0, 2**54), st.sampled_from("KMGTPEkmgtpe"))
def test_suffix_shifts_by_its_power(number: int, suffix: str) -> None:
    nbytes = number << 10 * ("KMGTPE".index(suffix.upper()) + 1)
    expected = nbytes if nbytes < 2**64 else None
    assert attempt(parse_size, f"{number}{suffix}")[0] == expected
    assert attempt(parse_size, f"0{number:o}{suffix}")[0] == expected
    # in hexadecimal an E is a digit
    if suffix not in "Ee" and nbytes < 2**64:
        assert parse_size(f"{number:#x}{suffix}") == nbytes


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    nbytes, reason = attempt(parse_size, text)
    if nbytes is None:
        assert "size" in reason or "64-bit" in reason
    else:
        assert 0 <= nbytes < 2**64


@given(st.integers(0, 2**62))
def test_pages_differ_by_the_part_of_a_page(nbytes: int) -> None:
    assert whole_pages(nbytes) - limit_pages(nbytes) == bool(nbytes % 4096)


@given(st.lists(PATHS), st.lists(st.integers(2, 99)), st.randoms())
def test_tree_does_not_depend_on_the_order_of_what_it_is_made_of(
    paths: list[str], ids: list[int], random: Any
) -> None:
    tree = build_tree(paths, ids)
    shuffled = [*paths, *paths]
    random.shuffle(shuffled)
    again = build_tree(shuffled, reversed(ids))
    assert again.names == tree.names
    assert again.parent.tolist() == tree.parent.tolist()


@given(st.lists(PATHS), st.lists(st.integers(2, 99)))
def test_tree_holds_each_cgroup_once_after_its_parent(
    paths: list[str], ids: list[int]
) -> None:
    tree = build_tree(paths, ids)
    assert len(set(tree.names)) == len(tree.names)
    assert {*paths, *(f"id:{id_}" for id_ in ids)} <= {*tree.names}
    for cgroup, name in enumerate(tree.names[1:], 1):
        parent = tree.parent[cgroup]
        assert 0 <= parent < cgroup
        known = name.startswith("/")
        assert tree.names[parent] == (parent_path(name) if known else "/")
        assert tree.index[name] == cgroup


ODD_PATHS = st.lists(
    st.sampled_from(["/", "a", ".", "..", "", "\n", "\0", "/.", "b.c"]), max_size=5
).map("".join)


@given(st.lists(st.one_of(PATHS, ODD_PATHS)))
def test_paths_are_plain_at_one_look_if_each_of_them_is(paths: list[str]) -> None:
    def is_valid(path: str) -> bool:
        return attempt(check_path, path)[0] is not None

    assert are_plain(paths) == all(map(is_valid, paths))


def test_a_path_that_is_too_long_is_not_plain() -> None:
    assert are_plain(["/a", "/" + "x" * (MAX_PATH - 1)])
    assert not are_plain(["/a", "/" + "x" * MAX_PATH])


@given(st.lists(PATHS, min_size=1), st.data())
def test_nearest_mark_is_what_walking_up_finds(paths: list[str], data: Any) -> None:
    tree = build_tree(paths)
    size = len(tree.names)
    marked = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    marked[0] = True
    nearest = tree.nearest(marked)
    below = tree.below([False, *marked[1:]])
    for cgroup in range(size):
        walk = cgroup
        while not marked[walk]:
            walk = tree.parent[walk]
        assert nearest[cgroup] == walk
        assert below[cgroup] == (walk != 0)


WORDS = sorted({word for key in KEYS for word in re.split(r"[.\[\]]+", key.path)})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["root", "max", "64M", "6.1", "7:0", "/a", "8:0 wbps=5", "dd"]),
)
STEPS = st.one_of(st.sampled_from([*WORDS, "/a", "/a/b", "/"]), st.text(max_size=4))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(STEPS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(STEPS, TREES, max_size=4))
def test_any_mapping_makes_a_scenario_or_one_line(mapping: dict[str, Any]) -> None:
    scenario, reason = attempt(Scenario.from_dict, mapping)
    assert "\n" not in reason
    if scenario is not None:
        assert Scenario.from_dict(scenario.effective()) == scenario


VALUES = st.one_of(
    st.text(max_size=10),
    SCALARS.map(str),
    st.sampled_from(["{}", "[]", "{a=1}", '[{comm="dd"}]', "[[[", "1979-05-27", "0x1"]),
)


@given(
    st.sampled_from([key.path for key in KEYS])
    | st.builds(lambda key: f"/a/{key.name}", st.sampled_from(KEYS))
    | st.text(max_size=10),
    VALUES,
)
def test_any_override_makes_a_scenario_or_one_line(key: str, value: str) -> None:
    scenario, reason = attempt(
        lambda argument: Scenario.load(overrides=[argument]), f"{key}={value}"
    )
    assert "\n" not in reason
    if scenario is None:
        assert reason.startswith("--set ")
    else:
        assert Scenario.from_dict(scenario.effective()) == scenario
