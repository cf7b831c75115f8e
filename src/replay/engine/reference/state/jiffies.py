"""The kernel's ticks: what sleeps or is limited in jiffies ends at one of them."""

from replay.engine.setup import Setup

NS_PER_S = 10**9
#: The count starts 5 minutes before 32 bits wrap.
INITIAL_S = 300


def jiffies_at(setup: Setup, now: int) -> int:
    """Return the tick count at a time."""
    ticks = (now + setup.boot_ns) * setup.hz // NS_PER_S
    return (1 << 32) - INITIAL_S * setup.hz + ticks


def time_of(setup: Setup, jiffies: int) -> int:
    """Return when a tick comes."""
    ticks = jiffies - (1 << 32) + INITIAL_S * setup.hz
    return -(-ticks * NS_PER_S // setup.hz) - setup.boot_ns
