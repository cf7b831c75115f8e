"""What a generated trace is like: every number that decides its bytes."""

from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = 4096
#: The decoder keeps this many processes; a trace of more would not count up.
MAX_PROCESSES: Final = 1 << 18
MAX_LANES: Final = 1024

#: Bytes of a bio and out of how many bios in 16 it is that large.
MIXED_SIZES: Final = ((4096, 8), (16384, 4), (65536, 3), (131072, 1))
SMALL_SIZES: Final = ((4096, 16),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A trace to generate; the same shape gives the same bytes.

    Shares are out of 256, so that they are exact.

    Attributes
    ----------
    requests : int
        Rows of the trace file.
    seed : int
    cgroups, processes, devices, cpus : int
        ``processes`` is per cgroup. A process keeps to a device, and mostly to a CPU.
    depth : int
        Requests in flight, over all devices.
    burst : int
        Requests that a process issues in a row in one of the places in flight.
    pages : int
        4 KiB pages that the sectors are drawn from.
    sequential : bool
        Each place in flight walks its part of the pages instead of jumping in it.
    sizes : tuple of (int, int)
        Bytes of a bio and its weight; the weights sum to 16.
    reads, discards : int
        Share of requests; the rest are writes.
    merges : int
        Share of requests that a second bio of the same length joins.
    plugs : int
        Share of requests inserted between a P and a U.
    think_ns : int
        Mean time from a completion to the next request in its place.
    base_ns : int
        Least latency; a quarter of a nanosecond a byte and a tail come on top.
    tagged : bool
        Records carry their cgroup's id, as with ``blk_cgroup`` on.
    """

    requests: int
    seed: int = 1
    cgroups: int = 10
    processes: int = 2
    devices: int = 1
    cpus: int = 4
    depth: int = 32
    burst: int = 1
    pages: int = 1 << 24
    sequential: bool = False
    sizes: tuple[tuple[int, int], ...] = MIXED_SIZES
    reads: int = 96
    discards: int = 2
    merges: int = 16
    plugs: int = 16
    think_ns: int = 100_000
    base_ns: int = 80_000
    tagged: bool = True

    def __post_init__(self) -> None:
        counts = (self.requests, self.cgroups, self.processes, self.devices, self.cpus)
        if min(*counts, self.depth, self.burst) < 1 or self.seed < 0:
            raise ValueError("counts must be positive and the seed not negative")
        if self.n_processes > MAX_PROCESSES:
            raise ValueError(f"{self.n_processes} processes: at most {MAX_PROCESSES}")
        if self.depth > MAX_LANES or self.devices * self.cpus > 1 << 12:
            raise ValueError(f"at most {MAX_LANES} in flight and 4096 files")
        shares = (self.reads, self.discards, self.merges, self.plugs)
        if min(shares) < 0 or max(*shares, self.reads + self.discards) > 256:
            raise ValueError("shares are out of 256")
        if sum(weight for _, weight in self.sizes) != 16:
            raise ValueError("the weights of the sizes must sum to 16")
        if any(size % PAGE_BYTES or size <= 0 for size, _ in self.sizes):
            raise ValueError("sizes are whole pages")
        if self.lane_pages < self.span_pages:
            least = self.span_pages * self.depth
            raise ValueError(f"{self.pages} pages: at least {least} at this depth")

    @property
    def n_processes(self) -> int:
        """Processes of all cgroups."""
        return self.cgroups * self.processes

    @property
    def span_pages(self) -> int:
        """Pages of the largest request: two of the largest bios."""
        return 2 * max(size for size, _ in self.sizes) // PAGE_BYTES

    @property
    def lane_pages(self) -> int:
        """Pages that one place in flight draws from: no two ever overlap."""
        return self.pages // self.depth


def requests_for(events: int, *, merges: int = 16, plugs: int = 16) -> int:
    """Return how many requests make about so many records.

    Parameters
    ----------
    events : int
        Records wanted: five a request (Q G I D C), two more for a merge or a plug.
    merges, plugs : int
        As in `Shape`.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, events * 256 // (5 * 256 + 2 * merges + 2 * plugs))


def cgroup_id(cgroup: int) -> int:
    """Return the id, an inode number, of a generated cgroup."""
    return 23 + 37 * cgroup


def cgroup_path(cgroup: int) -> str:
    """Return the path of a generated cgroup: a hundred to a parent."""
    return f"/bench.slice/part{cgroup // 100}/c{cgroup}"


def process_name(process: int) -> str:
    """Return the name of a generated process, at most 15 bytes."""
    return f"worker/{process}"


def process_pid(process: int) -> int:
    """Return the pid of a generated process."""
    return 1000 + process


def device_of(device: int) -> int:
    """Return the number of a generated device: loop0, loop1, ..."""
    return 7 << 20 | device
