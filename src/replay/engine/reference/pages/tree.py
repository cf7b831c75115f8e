"""The page tree of one backing file: which nodes exist and who paid for each.

Source: lib/xarray.c:xas_expand(), xas_create(), xas_delete_node(), xas_shrink(), v6.1.
64 slots a node. A lone page 0 stands in the head and needs no node.
"""

SLOT_SHIFT = 6

#: (level, index): level 1 holds pages, level n nodes of level n - 1.
Node = tuple[int, int]


def height_for(page: int) -> int:
    """Return the levels that a tree needs to reach a page; 0 for page 0."""
    height = 0
    while page >> SLOT_SHIFT * height:
        height += 1
    return height


#: Entries of so many pages or more stand in place of a node of 64 pages.
LARGE_ORDER = SLOT_SHIFT


def tree_height(page: int, order: int) -> int:
    """Return the levels that ``2**order`` pages need."""
    if not order:
        return height_for(page)
    height = height_for(page + (1 << order) - 1)
    return max(height, 2) if order >= LARGE_ORDER else height


class PageTree:
    """Pages and nodes; ``payer`` maps a node to the cgroup that was charged for it.

    A page of 256 KiB or more takes slots of the second level: what stands for its 64
    pages there is no node, and nobody pays for it.
    """

    def __init__(self) -> None:
        self.pages: set[int] = set()
        self.payer: dict[Node, int] = {}
        self.children: dict[Node, int] = {}
        self.height = 0

    def missing(self, page: int, order: int = 0) -> list[Node]:
        """Return the nodes to make before a page that is not there can be put in.

        It is the first of ``2**order`` ones.
        """
        height = max(self.height, tree_height(page, order))
        lowest = 2 if order >= LARGE_ORDER else 1
        nodes = [
            (level, page >> SLOT_SHIFT * level) for level in range(lowest, height + 1)
        ]
        if self.pages:
            # the old head becomes slot 0 of every level that is put on top of it
            nodes += [(level, 0) for level in range(self.height + 1, height + 1)]
        return [node for node in dict.fromkeys(nodes) if node not in self.children]

    def insert(self, page: int, payer: int, order: int = 0) -> None:
        """Put ``2**order`` pages in as one; new nodes are the payer's."""
        nodes = self.missing(page, order)
        old_root = (self.height, 0)
        self.height = max(self.height, tree_height(page, order))
        for node in nodes:
            self.payer[node] = payer
            self.children[node] = 0
        for level, index in nodes:
            if level < self.height:
                self.children[level + 1, index >> SLOT_SHIFT] += 1
        if self.pages and self.height > old_root[0]:
            self.children[old_root[0] + 1, 0] += 1  # the old head moves into slot 0
        self.pages.update(range(page, page + (1 << order)))
        if order >= LARGE_ORDER:
            for slot in range(page >> SLOT_SHIFT, page + (1 << order) >> SLOT_SHIFT):
                self.children[1, slot] = 1 << SLOT_SHIFT
                self.children[2, slot >> SLOT_SHIFT] += 1
        elif self.height:
            self.children[1, page >> SLOT_SHIFT] += 1 << order

    def remove(self, page: int) -> list[int]:
        """Take a page out; return the payers of the nodes that this frees."""
        freed = []
        self.pages.remove(page)
        level, index = 1, page >> SLOT_SHIFT
        while level <= self.height:
            self.children[level, index] -= 1
            if self.children[level, index]:
                break
            freed += self._free((level, index))
            level, index = level + 1, index >> SLOT_SHIFT
        if not self.pages:
            self.height = 0
        while self.height and self._only_slot_0():
            freed += self._free((self.height, 0))
            self.height -= 1
        return freed

    def _only_slot_0(self) -> bool:
        root = (self.height, 0)
        below = (
            0 in self.pages if self.height == 1 else (self.height - 1, 0) in self.payer
        )
        return self.children[root] == 1 and below

    def _free(self, node: Node) -> list[int]:
        del self.children[node]
        return [self.payer.pop(node)] if node in self.payer else []
