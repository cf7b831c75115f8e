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
    TIMER = 7
    RELEASE = 8
    ARRIVE = 9


#: Timers of limits.
LIMITS = (Kind.THROTTLE, Kind.WOKEN, Kind.COST, Kind.PERIOD)
#: Timers that no request waits for.
IN_VAIN = (Kind.PERIOD, Kind.TIMER)
