"""Whether a command's worker only submits it."""

from replay.engine.state.sim cimport OP_READ, OP_WRITE, Request, Sim


cdef inline bint is_asynchronous(
    const Sim *sim, unsigned int op, unsigned int device
) noexcept nogil:
    """Return True if the worker only submits: a read or write with direct I/O.

    Source: drivers/block/loop.c:loop_queue_rq(), v6.1. A bio-based device passes all
    on: drivers/md/dm.c:dm_submit_bio(), v6.1. Other drivers wait for nothing.
    """
    return sim.set.direct_io and (
        op == OP_READ
        or op == OP_WRITE
        or sim.set.pass_through
        or not sim.devices[device].is_loop
    )


cdef inline bint is_outer(const Sim *sim, const Request *request) noexcept nogil:
    """Return True if a request is on a device that lies on another one."""
    return sim.set.nested and request.device != sim.set.inner


cdef inline bint is_disk(const Sim *sim, unsigned int device) noexcept nogil:
    """Return True if the device is a plain disk whose queue is replayed."""
    return sim.disks != NULL and sim.disks[device].is_on


cdef inline bint only_submits(const Sim *sim, const Request *request) noexcept nogil:
    """Return True if the worker only submits a request.

    A nested device's does so, and a plain disk has none.
    """
    if is_outer(sim, request):
        return (
            request.op == OP_READ or request.op == OP_WRITE or sim.set.pass_through
        )
    return is_asynchronous(sim, request.op, request.device) or is_disk(
        sim, request.device
    )
