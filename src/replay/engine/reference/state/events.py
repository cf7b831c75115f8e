"""Kinds of events, in the order in which they run at the same time."""

from enum import IntEnum


class Kind(IntEnum):
    """Rank of events at the same time."""

    COMPLETE = 0
    MEMORY = 1
    LOCK = 2
    THROTTLE = 3
    WOKEN = 4
    COST = 5
    PERIOD = 6
    LATENCY = 7
    TIMER = 8
    RELEASE = 9
    ARRIVE = 10


#: Timers of limits.
LIMITS = (Kind.THROTTLE, Kind.WOKEN, Kind.COST, Kind.PERIOD, Kind.LATENCY)
#: Timers that no request waits for.
IN_VAIN = (Kind.PERIOD, Kind.LATENCY, Kind.TIMER)
