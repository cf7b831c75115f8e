"""Slots of the requests in flight."""

from libc.stdint cimport uint32_t

from replay.engine.state.iocost cimport RequestControls
from replay.engine.state.sim cimport Request, Sim
from replay.engine.structures.arena cimport arena_add, index_in


cdef inline Request *request_at(const Sim *sim, uint32_t slot) noexcept nogil:
    """Return the request in a slot."""
    return (<Request *> sim.requests.data) + index_in(&sim.requests, slot)


cdef inline uint32_t request_new(Sim *sim) noexcept nogil:
    """Return a free slot; its fields are whatever the last request left."""
    cdef uint32_t slot = sim.free_request
    if slot != 0:
        sim.free_request = request_at(sim, slot).next
        return slot
    return arena_add(&sim.requests)


cdef inline RequestControls *controls_of(const Sim *sim, uint32_t slot) noexcept nogil:
    """Return what a request's limits know of it; if memory ran out, a scratch."""
    cdef uint32_t at = slot if slot < sim.request_controls.length else 0
    return (<RequestControls *> sim.request_controls.data) + index_in(&sim.request_controls, at)
