"""Kinds of events, in the order in which they run at the same time."""

from enum import IntEnum


class Kind(IntEnum):
    """Rank of events at the same time."""

    COMPLETE = 0
    MEMORY = 1
    LOCK = 2
    IOMAX = 3
    WOKEN = 4
    IOCOST = 5
    PERIOD = 6
    IOLATENCY = 7
    TIMER = 8
    RELEASE = 9
    ARRIVE = 10
    SERVED = 11
    QUEUE = 12


#: Timers of limits.
CONTROLLERS = (Kind.IOMAX, Kind.WOKEN, Kind.IOCOST, Kind.PERIOD, Kind.IOLATENCY)
#: Timers that no request waits for.
IN_VAIN = (Kind.PERIOD, Kind.IOLATENCY, Kind.TIMER)
