"""The cgroup tree: every path with its parents, as dense ids."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

ROOT: Final = "/"
#: The kernel shows no path longer than PATH_MAX.
MAX_PATH: Final = 4096


def check_path(path: str) -> str:
    """Check that a cgroup's path is written as the kernel writes it.

    Parameters
    ----------
    path : str
        From the hierarchy's root, for example ``"/test.slice"``.

    Returns
    -------
    str
        The same path.

    Raises
    ------
    ValueError
        It does not begin with ``/``, has an empty, ``.`` or ``..`` component, ends in
        ``/``, or is longer than `MAX_PATH`.
    """
    if not path.startswith(ROOT):
        raise ValueError('does not begin with "/"')
    if len(path) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    if path != ROOT and any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise ValueError('has an empty, "." or ".." component')
    if "\n" in path or "\0" in path:
        raise ValueError("holds a line break")
    return path


def parent_path(path: str) -> str:
    """Return the path one level up; the root's is the root."""
    return path[: path.rfind("/")] or ROOT


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

    def nearest(self, marked: Sequence[bool]) -> NDArray[np.uint32]:
        """Find each cgroup's nearest marked one, itself included.

        Parameters
        ----------
        marked : sequence of bool, shape (n_cgroups,)
            The root must be marked.

        Returns
        -------
        ndarray of uint32, shape (n_cgroups,)
        """
        found = np.zeros(len(self.names), dtype=np.uint32)
        for cgroup in range(1, len(self.names)):
            found[cgroup] = cgroup if marked[cgroup] else found[self.parent[cgroup]]
        return found

    def below(self, marked: Sequence[bool]) -> NDArray[np.bool_]:
        """Tell for each cgroup whether it or an ancestor is marked.

        Parameters
        ----------
        marked : sequence of bool, shape (n_cgroups,)

        Returns
        -------
        ndarray of bool, shape (n_cgroups,)
        """
        found = np.array(marked, dtype=np.bool_)
        for cgroup in range(1, len(self.names)):
            found[cgroup] |= found[self.parent[cgroup]]
        return found

    def above(self, marked: Sequence[bool]) -> NDArray[np.bool_]:
        """Tell for each cgroup whether it or a descendant is marked.

        Parameters
        ----------
        marked : sequence of bool, shape (n_cgroups,)

        Returns
        -------
        ndarray of bool, shape (n_cgroups,)
        """
        found = np.array(marked, dtype=np.bool_)
        for cgroup in range(len(self.names) - 1, 0, -1):
            found[self.parent[cgroup]] |= found[cgroup]
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
    known = {ROOT}
    for path in paths:
        while path not in known:
            known.add(path)
            path = parent_path(path)
    # The root sorts first ([""] is the prefix of every split path), parents before
    # children: a prefix sorts before what it begins.
    names = sorted(known, key=lambda path: path.rstrip("/").split("/"))
    index = {name: position for position, name in enumerate(names)}
    parent = [-1, *(index[parent_path(name)] for name in names[1:])]
    for unknown in sorted(set(unknown_ids)):
        index[f"id:{unknown}"] = len(names)
        names.append(f"id:{unknown}")
        parent.append(0)
    return Tree(names, np.array(parent, dtype=np.int32), index)
