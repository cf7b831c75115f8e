import numpy as np
import pytest

from replay.scenario.binding.tree import build_tree
from replay.scenario.keys.paths import check_path


def test_tree_of_nothing_is_the_root_alone() -> None:
    tree = build_tree([])
    assert tree.names == ["/"]
    assert tree.parent.tolist() == [-1]


def test_parents_that_nobody_named_are_added_before_their_children() -> None:
    tree = build_tree(["/a/b/c", "/p"])
    assert tree.names == ["/", "/a", "/a/b", "/a/b/c", "/p"]
    assert tree.parent.tolist() == [-1, 0, 1, 2, 0]
    assert tree.parent.dtype == np.int32


def test_order_is_by_component_and_not_by_character() -> None:
    # "-" sorts before "/": by character /p-x would part /p from /p/a
    assert build_tree(["/p/a", "/p-x", "/p"]).names == ["/", "/p", "/p/a", "/p-x"]


def test_ids_without_a_path_come_last_below_the_root_by_number() -> None:
    tree = build_tree(["/z"], [100, 9, 100])
    assert tree.names == ["/", "/z", "id:9", "id:100"]
    assert tree.parent.tolist() == [-1, 0, 0, 0]
    assert tree.index["id:100"] == 3


def test_path_named_like_an_id_is_another_cgroup() -> None:
    tree = build_tree(["/id:9"], [9])
    assert tree.names == ["/", "/id:9", "id:9"]


def test_nearest_marked_cgroup_is_found_upwards_itself_included() -> None:
    # GIVEN /x with a mark, and /x/y/z with one
    tree = build_tree(["/x/y/z", "/w"])
    marked = [name in ("/", "/x", "/x/y/z") for name in tree.names]
    # THEN y has x's, w has the root's
    nearest = tree.nearest(marked)
    found = {
        name: tree.names[cgroup]
        for name, cgroup in zip(tree.names, nearest, strict=True)
    }
    assert found == {
        "/": "/",
        "/w": "/",
        "/x": "/x",
        "/x/y": "/x",
        "/x/y/z": "/x/y/z",
    }
    assert nearest.dtype == np.uint32


def test_below_and_above_spread_a_mark_down_and_up() -> None:
    tree = build_tree(["/x/y/z", "/w"])
    marked = [name == "/x/y" for name in tree.names]
    below = [tree.names[cgroup] for cgroup in np.flatnonzero(tree.below(marked))]
    above = [tree.names[cgroup] for cgroup in np.flatnonzero(tree.above(marked))]
    assert below == ["/x/y", "/x/y/z"]
    assert above == ["/", "/x", "/x/y"]


@pytest.mark.parametrize("path", ["/", "/a", "/a.slice/b-c/d e", "/a=b"])
def test_path_as_the_kernel_writes_it_is_accepted(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "a", "/a/", "//", "/a//b", "/..", "/a/./b", "/a\nb", "/a\0", "/" + "a" * 4096],
)
def test_path_that_no_cgroup_has_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"does not|has an|holds|longer"):
        check_path(path)
