"""Memory that ``memory.min`` and ``memory.low`` protect from reclaim.

Sources: mm/memcontrol.c:mem_cgroup_calculate_protection(), effective_protection(),
mm/vmscan.c:shrink_node_memcgs(), get_scan_count(), v6.1.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay.engine.reference.memcg.tasks import Tasks

#: SWAP_CLUSTER_MAX: what is scanned at least, before the priority counts.
CLUSTER = 32
ROOT = 0


class Protection:
    """Effective protection of the cgroups below a reclaim's own."""

    def __init__(self, tasks: "Tasks") -> None:
        setup = tasks.setup
        self.tasks = tasks
        self.recursive = setup.recursive_protection
        none = [0] * len(tasks.parent)
        self.settings = {
            "min": [int(one) for one in setup.memory_min] or none,
            "low": [int(one) for one in setup.memory_low] or none,
        }
        self.effective = {name: list(none) for name in self.settings}
        #: What the children of a cgroup use of their own protection.
        self.children = {name: list(none) for name in self.settings}

    def enter(self, cgroup: int, over: int) -> None:
        """Work out a cgroup's protection when reclaim comes to it.

        Parents are entered first. The reclaim's own cgroup has none.
        """
        usage = self.tasks.groups[cgroup].usage
        parent = self.tasks.parent[cgroup]
        for name, settings in self.settings.items():
            self.children[name][cgroup] = sum(
                min(self.tasks.groups[child].usage, settings[child])
                for child, above in enumerate(self.tasks.parent)
                if above == cgroup
            )
            if cgroup == over:
                effective = 0
            elif parent == over:
                effective = settings[cgroup]
            else:
                effective = effective_protection(
                    usage,
                    self.tasks.groups[parent].usage,
                    settings[cgroup],
                    self.effective[name][parent],
                    self.children[name][parent],
                    recursive=self.recursive,
                )
            self.effective[name][cgroup] = effective

    def covers(self, name: str, cgroup: int, over: int) -> bool:
        """Return True if all that a cgroup uses is protected."""
        if cgroup in (over, ROOT):
            return False
        return self.effective[name][cgroup] >= self.tasks.groups[cgroup].usage

    def to_scan(self, n_pages: int, cgroup: int, *, low_too: bool) -> tuple[int, bool]:
        """Return how many pages of a list count, and whether low held any back."""
        least, low = self.effective["min"][cgroup], self.effective["low"][cgroup]
        if not least and not low:
            return n_pages, False
        held = not low_too and low > least
        protected = low if held else least
        usage = max(self.tasks.groups[cgroup].usage, protected)
        return max(n_pages - n_pages * protected // (usage + 1), CLUSTER), held


def effective_protection(
    usage: int,
    parent_usage: int,
    setting: int,
    parent_effective: int,
    siblings: int,
    *,
    recursive: bool,
) -> int:
    """Return a cgroup's share of what its parent has to give."""
    protected = min(usage, setting)
    if siblings > parent_effective:
        return protected * parent_effective // siblings
    if not recursive:
        return protected
    if parent_effective > siblings < parent_usage and usage > protected:
        unclaimed = (parent_effective - siblings) * (usage - protected)
        return protected + unclaimed // (parent_usage - siblings)
    return protected
