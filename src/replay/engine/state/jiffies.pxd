"""The kernel's ticks: what sleeps or is limited in jiffies ends at one of them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.state.sim cimport Sim

cdef extern from *:
    """
    #define replay_share(amount, part, whole) \\
        ((int64_t)((__int128)(amount) * (part) / (whole)))
    #define replay_far ((__int128)1 << 62)
    static inline int64_t replay_capped(__int128 value)
    {
        return (int64_t)(value < replay_far ? value : replay_far);
    }
    #define replay_product(amount, times, shift) \\
        replay_capped(((__int128)(amount) * (times) + (1 << (shift)) - 1) >> (shift))
    #define replay_ticks(ticks, hz) \\
        replay_capped(((__int128)(ticks) * 1000000000 + (hz) - 1) / (hz))
    """
    int64_t share_of "replay_share"(
        int64_t amount, int64_t part, int64_t whole
    ) noexcept nogil
    # rounded up; what is beyond all times that `push` takes is 2**62
    int64_t product_of "replay_product"(
        uint64_t amount, uint32_t times, int shift
    ) noexcept nogil
    int64_t ticks_ns "replay_ticks"(int64_t ticks, int64_t hz) noexcept nogil

cdef enum:
    INITIAL_SECONDS = 300   # jiffies start 5 minutes before 32 bits wrap


cdef inline int64_t first_jiffy(const Sim *sim) noexcept nogil:
    """Return the tick count at boot."""
    return (<int64_t> 1 << 32) - INITIAL_SECONDS * sim.set.hz


cdef inline int64_t jiffies_at(const Sim *sim, int64_t now) noexcept nogil:
    """Return the kernel's tick count."""
    return first_jiffy(sim) + share_of(now + sim.set.boot_ns, sim.set.hz, 1000000000)


cdef inline int64_t jiffies_now(Sim *sim, int64_t now) noexcept nogil:
    """Return the kernel's tick count; most ask within the tick of the last one."""
    if not sim.jiffy_from_ns <= now < sim.jiffy_end_ns:
        sim.jiffy = jiffies_at(sim, now)
        sim.jiffy_from_ns = time_of_jiffy(sim, sim.jiffy)
        sim.jiffy_end_ns = time_of_jiffy(sim, sim.jiffy + 1)
    return sim.jiffy


cdef inline int64_t time_of_jiffy(const Sim *sim, int64_t jiffies) noexcept nogil:
    """Return when a tick comes."""
    return ticks_ns(jiffies - first_jiffy(sim), sim.set.hz) - sim.set.boot_ns
