"""A loop device on a loop device. The rules stand in reference/driver/nested.py.

A request that goes down is the same slot on another device: what it was above stands in
an `Outer` beside it until it comes up again.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.counting.charges cimport account_of
from replay.engine.state.events cimport push
from replay.engine.state.iocost cimport ABOVE, BELOW
from replay.engine.state.nested cimport Outer
from replay.engine.state.requests cimport controls_of, request_at
from replay.engine.state.sim cimport (
    EVENT_ARRIVE,
    OP_FLUSH,
    OP_READ,
    OP_WRITE,
    Request,
    Sim,
)
from replay.engine.structures.arena cimport arena_add, index_in

cdef enum:
    # where the file of each outer device begins on the inner one, sectors
    APART_SHIFT = 36


cdef inline Outer *outer_of(const Sim *sim, uint32_t slot) noexcept nogil:
    """Return what a request was above; if memory ran out, a scratch."""
    cdef uint32_t at = slot if slot < sim.outers.length else 0
    return (<Outer *> sim.outers.data) + index_in(&sim.outers, at)


cdef inline bint is_inside(const Sim *sim, uint32_t slot) noexcept nogil:
    """Return True if a request came from a device that lies on this one."""
    return sim.set.nested and outer_of(sim, slot).inside


cdef inline bint goes_down(const Request *request) noexcept nogil:
    """Return True if the file system below does I/O for a request."""
    return (
        request.op == OP_READ or request.op == OP_WRITE or request.op == OP_FLUSH
    )


cdef inline void nested_begin(Sim *sim, uint32_t slot) noexcept nogil:
    """Make room for what a new request is above."""
    while sim.outers.length <= slot and not sim.outers.failed.no_memory:
        arena_add(&sim.outers)
    outer_of(sim, slot).inside = False


cdef inline void descend(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Become the bio that arrives at the inner device."""
    cdef Request *request = request_at(sim, slot)
    cdef Outer *outer = outer_of(sim, slot)
    cdef uint64_t place = request.device
    outer.arrival_ns = request.arrival_ns
    outer.queued_ns = request.queued_ns
    outer.prior_ns = request.prior_ns
    outer.debt_ns = request.debt_ns
    outer.tag_ns = request.tag_ns
    outer.dispatch_ns = request.dispatch_ns
    outer.start_ns = request.start_ns
    outer.lock_ns = request.lock_ns
    outer.device_ns = request.device_ns
    outer.sector = request.sector
    outer.n_bios = request.n_bios
    outer.issuer = request.issuer
    outer.memory_payer = request.memory_payer
    outer.io_payer = request.io_payer
    outer.account = request.account
    outer.worker = request.worker
    outer.device = request.device
    outer.is_meta = request.is_meta
    outer.inside = True
    if request.device > sim.set.inner:
        place -= 1
    request.sector += place << APART_SHIFT
    request.device = sim.set.inner
    request.issuer = request.io_payer
    request.account = account_of(sim, request.issuer, request.device)
    request.n_bios = request.op != OP_FLUSH
    request.is_meta = False
    request.prior_ns = request.debt_ns = 0
    request.start_ns = -1
    request.worker = 0
    request.next_page = 0
    if sim.set.issue_controllers:
        outer.cost[ABOVE] = request.cost[ABOVE]
        outer.cost[BELOW] = request.cost[BELOW]
        request.cost[ABOVE] = request.cost[BELOW] = 0
        outer.limits = controls_of(sim, slot)[0]
    push(sim, now, EVENT_ARRIVE, request.row, slot)


cdef inline void surface(Sim *sim, uint32_t slot) noexcept nogil:
    """Become the outer request again."""
    cdef Request *request = request_at(sim, slot)
    cdef Outer *outer = outer_of(sim, slot)
    outer.inside = False
    request.arrival_ns = outer.arrival_ns
    request.queued_ns = outer.queued_ns
    request.prior_ns = outer.prior_ns
    request.debt_ns = outer.debt_ns
    request.tag_ns = outer.tag_ns
    request.dispatch_ns = outer.dispatch_ns
    request.start_ns = outer.start_ns
    request.lock_ns = outer.lock_ns
    request.device_ns = outer.device_ns
    request.memory_ns = 0
    request.holds_lock = request.shares_lock = False
    request.sector = outer.sector
    request.n_bios = outer.n_bios
    request.issuer = outer.issuer
    request.memory_payer = outer.memory_payer
    request.io_payer = outer.io_payer
    request.account = outer.account
    request.worker = outer.worker
    request.device = outer.device
    request.is_meta = outer.is_meta
    if sim.set.issue_controllers:
        request.cost[ABOVE] = outer.cost[ABOVE]
        request.cost[BELOW] = outer.cost[BELOW]
        controls_of(sim, slot)[0] = outer.limits
