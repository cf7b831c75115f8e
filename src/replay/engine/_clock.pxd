"""The kernel's ticks: what sleeps or is limited in jiffies ends at one of them."""

from libc.stdint cimport int64_t

from replay.engine._types cimport Sim

cdef extern from *:
    """
    #define replay_share(amount, part, whole) \\
        ((int64_t)((__int128)(amount) * (part) / (whole)))
    """
    int64_t share_of "replay_share"(
        int64_t amount, int64_t part, int64_t whole
    ) noexcept nogil

cdef enum:
    INITIAL_SECONDS = 300   # jiffies start 5 minutes before 32 bits wrap


cdef inline int64_t first_jiffy(const Sim *sim) noexcept nogil:
    """Return the tick count at boot."""
    return (<int64_t> 1 << 32) - INITIAL_SECONDS * sim.set.hz


cdef inline int64_t jiffies_at(const Sim *sim, int64_t now) noexcept nogil:
    """Return the kernel's tick count."""
    return first_jiffy(sim) + share_of(now + sim.set.boot_ns, sim.set.hz, 1000000000)


cdef inline int64_t time_of_jiffy(const Sim *sim, int64_t jiffies) noexcept nogil:
    """Return when a tick comes."""
    cdef int64_t ticks = jiffies - first_jiffy(sim)
    return (ticks * 1000000000 + sim.set.hz - 1) // sim.set.hz - sim.set.boot_ns
