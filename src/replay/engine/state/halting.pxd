"""The end of a run in the middle of its work: for a signal, or for an error."""

from libc.stdint cimport int64_t

from replay.common.halting cimport signal_raised
from replay.engine.state.sim cimport SIM_HALTED, SIM_OK, Sim

cdef enum:
    # work between two looks at signals: some 20 ms
    WORK_AT_ONCE = 1 << 19
    ROW_WORK = 1
    EVENT_WORK = 4
    PAGE_WORK = 16


cdef inline void look_up(Sim *sim) noexcept nogil:
    """Look whether a signal came."""
    sim.work_left = WORK_AT_ONCE
    if sim.status == SIM_OK and signal_raised():
        sim.status = SIM_HALTED


cdef inline bint goes_on(Sim *sim, int64_t work) noexcept nogil:
    """Count work that is to be done; return False if the run is to stop.

    Each loop asks whose turns are not bounded by the number of cgroups. What it leaves
    half done does not matter: a run that was ended is never gone on with.
    """
    sim.work_left -= work
    if sim.work_left < 0:
        look_up(sim)
    return sim.status == SIM_OK
