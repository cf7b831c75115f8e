"""Who waited for whom."""

from collections import Counter


class Interference:
    """Who waited for whom: ns and incidents by (waiting, blocking, resource)."""

    def __init__(self) -> None:
        self.wait_ns: Counter[tuple[int, int, int]] = Counter()
        self.count: Counter[tuple[int, int, int]] = Counter()

    def add(
        self, waiting: int, blocking: int, resource: int, wait_ns: int, count: int
    ) -> None:
        """Charge a wait to the one that blocked; nothing if nobody waited."""
        if wait_ns > 0:
            self.wait_ns[waiting, blocking, resource] += wait_ns
            self.count[waiting, blocking, resource] += count
