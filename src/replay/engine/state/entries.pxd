"""Entries of a run's arenas, by their index."""

from libc.stdint cimport uint32_t

from replay.engine.state.counts cimport Failure
from replay.engine.state.queues cimport Wait
from replay.engine.state.sim cimport Account, Charge, LatencyBlock, Sim, Worker
from replay.engine.structures.arena cimport index_in


cdef inline Account *account_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return an account."""
    return (<Account *> sim.accounts.data) + index_in(&sim.accounts, index)


cdef inline Charge *charge_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return a charge."""
    return (<Charge *> sim.charges.data) + index_in(&sim.charges, index)


cdef inline Worker *worker_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return a worker."""
    return (<Worker *> sim.workers.data) + index_in(&sim.workers, index)


cdef inline LatencyBlock *block_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return a latency block."""
    return (<LatencyBlock *> sim.blocks.data) + index_in(&sim.blocks, index)


cdef inline Wait *wait_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return a wait."""
    return (<Wait *> sim.waits.data) + index_in(&sim.waits, index)


cdef inline Failure *failure_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return a failure."""
    return (<Failure *> sim.failures.data) + index_in(&sim.failures, index)
