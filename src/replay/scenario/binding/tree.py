"""The cgroup tree: every path with its parents, as dense ids."""

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from replay.common.unique import distinct
from replay.scenario.keys.paths import MAX_PATH, ROOT


def are_plain(paths: Sequence[str]) -> bool:
    """Tell at one look whether many paths are as the kernel writes them.

    Parameters
    ----------
    paths : sequence of str

    Returns
    -------
    bool
        True if `check_path` accepts every one of them.
    """
    text = "\n".join(["", *paths, ""])
    return (
        text.count("\n") == len(paths) + 1
        and text.count("\n/") == len(paths)
        and text.count("/\n") == paths.count(ROOT)
        and not any(part in text for part in ("//", "/./", "/../", "\0"))
        and not any(part in text for part in ("/.\n", "/..\n"))
        and max(map(len, paths), default=0) <= MAX_PATH
    )


class Tree(Struct, frozen=True):
    """Cgroups in dense order: the root, then paths by component, then unknown ids.

    Attributes
    ----------
    names : list of str
        Path of each cgroup, or ``"id:N"`` for an id whose path is not known.
    parent : ndarray of int32, shape (n_cgroups,)
        Dense id of the parent, smaller than the child's; -1 for the root.
    index : dict of str to int
        Dense id of each name.
    """

    names: list[str]
    parent: NDArray[np.int32]
    index: dict[str, int]

    def nearest(self, marked: ArrayLike) -> NDArray[np.uint32]:
        """Find each cgroup's nearest marked one, itself included.

        Parameters
        ----------
        marked : array_like of bool, shape (n_cgroups,)
            The root must be marked.

        Returns
        -------
        ndarray of uint32, shape (n_cgroups,)
        """
        up = np.where(marked, np.arange(len(self.names)), self.parent)
        up[0] = 0
        # each round looks twice as far up
        while (further := up[up]).tobytes() != up.tobytes():
            up = further
        return up.astype(np.uint32)

    def below(self, marked: ArrayLike) -> NDArray[np.bool_]:
        """Tell for each cgroup whether it or an ancestor is marked.

        Parameters
        ----------
        marked : array_like of bool, shape (n_cgroups,)

        Returns
        -------
        ndarray of bool, shape (n_cgroups,)
        """
        found = np.array(marked, dtype=np.bool_)
        return found[self.nearest(found)]

    def above(self, marked: ArrayLike) -> NDArray[np.bool_]:
        """Tell for each cgroup whether it or a descendant is marked.

        Parameters
        ----------
        marked : array_like of bool, shape (n_cgroups,)

        Returns
        -------
        ndarray of bool, shape (n_cgroups,)
        """
        found = np.array(marked, dtype=np.bool_)
        above = self.parent[found]
        while (above := distinct(above[above >= 0])).size:
            above = above[~found[above]]
            found[above] = True
            above = self.parent[above]
        return found


def build_tree(paths: Iterable[str], unknown_ids: Iterable[int] = ()) -> Tree:
    """Order cgroups and add the parents that nobody named.

    Parameters
    ----------
    paths : iterable of str
        Checked paths (`check_path`), in any order, repeated or not.
    unknown_ids : iterable of int
        Ids whose path is not known: each stands directly below the root.

    Returns
    -------
    Tree
        The same for the same cgroups, in whatever order they came.
    """
    # in the order in which they came: what is nearly sorted is sorted soon
    known = dict.fromkeys([ROOT, *paths])
    parents = set(known)
    while parents:
        parents = {path[: path.rfind("/")] or ROOT for path in parents} - known.keys()
        known |= dict.fromkeys(parents)
    # By component, so that parents stand before children: what stands for the slash
    # here is in no path and sorts before all that is.
    ordered = "\n".join(known).replace("/", "\0").split("\n")
    ordered.sort()
    names = "\n".join(ordered).replace("\0", "/").split("\n")
    index = dict(zip(names, range(len(names)), strict=True))
    parent = [-1, *(index[name[: name.rfind("/")] or ROOT] for name in names[1:])]
    for unknown in sorted(set(unknown_ids)):
        index[f"id:{unknown}"] = len(names)
        names.append(f"id:{unknown}")
        parent.append(0)
    return Tree(names, np.array(parent, dtype=np.int32), index)
