"""Failures that stop a run: no memory, or a check that does not hold."""

from libc.stdint cimport int64_t

from replay.engine.state.sim cimport SIM_CHECK, SIM_NO_MEMORY, Sim
from replay.engine.structures.arena cimport CHECKS, check


cdef inline bint run_failed(Sim *sim) noexcept nogil:
    """Return True if a structure of the run failed; the status says so then."""
    if sim.failed.check != NULL:
        sim.status = SIM_CHECK
    elif sim.failed.no_memory:
        sim.status = SIM_NO_MEMORY
    else:
        return False
    return True


cdef inline void time_passes(Sim *sim, int64_t now) noexcept nogil:
    """It is an event's turn: no earlier one comes behind it."""
    if CHECKS:
        check(&sim.failed, now >= sim.checked_ns)
        sim.checked_ns = now


cdef inline int64_t in_driver(const Sim *sim) noexcept nogil:
    """Return how many requests the driver saw and is not done with."""
    return (
        sim.counts.requests
        - sim.counts.completed
        - sim.counts.failed
        - sim.counts.unfinished
    )


cdef inline void conserves(Sim *sim) noexcept nogil:
    """An event is over: each request is in flight or done, and none is both."""
    if CHECKS:
        check(&sim.failed, in_driver(sim) >= 0)
        check(&sim.failed, sim.counts.in_flight >= in_driver(sim))
        check(&sim.failed, sim.pending >= 0)
