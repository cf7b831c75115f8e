"""The limit below which each row stops a backing file on tmpfs.

Pages on tmpfs cannot be given back, so until a charge first meets a limit a run is the
one without it: the limits that a row does not fit under follow from the run without
any. A row is stopped by every limit below what is charged behind it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from replay.engine.reference.pages.tree import PageTree
from replay.engine.setup import PAGE_BYTES

WORD_SHIFT: Final = 6
WORD_PAGES: Final = 1 << WORD_SHIFT
#: Charge of a node of the page tree. Source: include/linux/xarray.h, struct xa_node,
#: and the slot of mm/slab.h that names its payer, v6.1; docs/model.md.
NODE_BYTES: Final = 584


class TmpfsFile:
    """Pages of one file by word of 64, each with who paid, and the tree above them.

    All pages of a word share one node of the tree, so the tree is asked once a word.
    Word 0 is asked for each page: a lone page 0 needs no node.
    """

    def __init__(self) -> None:
        self._tree = PageTree()
        self._words: dict[int, dict[int, int]] = {}
        # the page of a word that the tree knows
        self._shown: dict[int, int] = {}

    def write(self, first: int, last: int, payer: int) -> tuple[int, int]:
        """Touch pages; return how many are new, and how many nodes they need."""
        n_pages = n_nodes = 0
        for word in range(first >> WORD_SHIFT, (last >> WORD_SHIFT) + 1):
            owners = self._words.setdefault(word, {})
            there = 0
            for mask in owners.values():
                there |= mask
            new = _mask(word, first, last) & ~there
            if not new:
                continue
            n_pages += new.bit_count()
            owners[payer] = owners.get(payer, 0) | new
            for page in self._asked(word, new, bool(there)):
                n_nodes += len(self._tree.missing(page))
                self._tree.insert(page, payer)
        return n_pages, n_nodes

    def free(self, first: int, last: int) -> tuple[dict[int, int], list[int]]:
        """Free pages; return how many by payer, and the payers of the nodes freed."""
        pages: dict[int, int] = {}
        nodes: list[int] = []
        # a discard may span more than the file has
        low, high = first >> WORD_SHIFT, last >> WORD_SHIFT
        words: Iterable[int] = range(low, high + 1)
        if high - low > len(self._words):
            words = sorted(word for word in self._words if low <= word <= high)
        for word in words:
            owners = self._words.get(word)
            if not owners or not any(owners.values()):
                continue
            mask = _mask(word, first, last)
            for payer, mine in list(owners.items()):
                gone = mine & mask
                if not gone:
                    continue
                pages[payer] = pages.get(payer, 0) + gone.bit_count()
                owners[payer] = mine & ~gone
                if word == 0:
                    for page in range(WORD_PAGES):
                        if gone >> page & 1:
                            nodes += self._tree.remove(page)
            if word and not any(owners.values()):
                nodes += self._tree.remove(self._shown.pop(word))
        return pages, nodes

    def _asked(self, word: int, new: int, there: bool) -> list[int]:
        if word == 0:
            return [page for page in range(WORD_PAGES) if new >> page & 1]
        if there:
            return []
        page = (word << WORD_SHIFT) + (new & -new).bit_length() - 1
        self._shown[word] = page
        return [page]


class Usage:
    """Charges of each cgroup and its ancestors, and their peaks so far.

    Parameters
    ----------
    parents : sequence of int
        Parent of each cgroup, -1 for the root.

    Attributes
    ----------
    highs : list of list of (int, int)
        By cgroup: row and pages, whenever a row that charges it or a descendant left
        more charged than any before.
    """

    def __init__(self, parents: Sequence[int]) -> None:
        self._parents = list(parents)
        self._pages = [0] * len(self._parents)
        self._nodes = [0] * len(self._parents)
        self.highs: list[list[tuple[int, int]]] = [[] for _ in self._parents]

    def add(self, cgroup: int, pages: int, nodes: int = 0) -> None:
        """Charge (or give back) pages and nodes of the page tree."""
        before = _node_pages(self._nodes[cgroup])
        self._nodes[cgroup] += nodes
        change = pages + _node_pages(self._nodes[cgroup]) - before
        while cgroup >= 0:
            self._pages[cgroup] += change
            cgroup = self._parents[cgroup]

    def charged(self, row: int, cgroup: int) -> None:
        """Note that a row has charged a cgroup for its pages."""
        while cgroup >= 0:
            highs = self.highs[cgroup]
            if not highs or self._pages[cgroup] > highs[-1][1]:
                highs.append((row, self._pages[cgroup]))
            cgroup = self._parents[cgroup]


def _mask(word: int, first: int, last: int) -> int:
    """Return the bits of a word's pages from first to last."""
    low = max(first - (word << WORD_SHIFT), 0)
    high = min(last - (word << WORD_SHIFT), WORD_PAGES - 1)
    return (1 << (high + 1)) - (1 << low)


def _node_pages(nodes: int) -> int:
    return -(-nodes * NODE_BYTES // PAGE_BYTES)
