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


class PageTree:
    """Pages and nodes; ``payer`` maps a node to the cgroup that was charged for it."""

    def __init__(self) -> None:
        self.pages: set[int] = set()
        self.payer: dict[Node, int] = {}
        self.children: dict[Node, int] = {}
        self.height = 0

    def missing(self, page: int) -> list[Node]:
        """Return the nodes to make before a page that is not there can be put in."""
        height = max(self.height, height_for(page))
        nodes = [(level, page >> SLOT_SHIFT * level) for level in range(1, height + 1)]
        if self.pages:
            # the old head becomes slot 0 of every level that is put on top of it
            nodes += [(level, 0) for level in range(self.height + 1, height + 1)]
        return [node for node in dict.fromkeys(nodes) if node not in self.payer]

    def insert(self, page: int, payer: int) -> None:
        """Put a page in; new nodes are the payer's."""
        nodes = self.missing(page)
        old_root = (self.height, 0)
        self.height = max(self.height, height_for(page))
        for node in nodes:
            self.payer[node] = payer
            self.children[node] = 0
        for level, index in nodes:
            if level < self.height:
                self.children[level + 1, index >> SLOT_SHIFT] += 1
        if self.pages and self.height > old_root[0]:
            self.children[old_root[0] + 1, 0] += 1  # the old head moves into slot 0
        self.pages.add(page)
        if self.height:
            self.children[1, page >> SLOT_SHIFT] += 1

    def remove(self, page: int) -> list[int]:
        """Take a page out; return the payers of the nodes that this frees."""
        freed = []
        self.pages.remove(page)
        level, index = 1, page >> SLOT_SHIFT
        while level <= self.height:
            self.children[level, index] -= 1
            if self.children[level, index]:
                break
            freed.append(self._free((level, index)))
            level, index = level + 1, index >> SLOT_SHIFT
        if not self.pages:
            self.height = 0
        while self.height and self._only_slot_0():
            freed.append(self._free((self.height, 0)))
            self.height -= 1
        return freed

    def _only_slot_0(self) -> bool:
        root = (self.height, 0)
        below = (
            0 in self.pages if self.height == 1 else (self.height - 1, 0) in self.payer
        )
        return self.children[root] == 1 and below

    def _free(self, node: Node) -> int:
        del self.children[node]
        return self.payer.pop(node)
