"""A plain disk: scheduler, list, ring, pipe, answer. See reference/disk/disk.py.

Sources: block/blk-mq.c:blk_mq_dispatch_rq_list(), blk_mq_update_dispatch_busy(),
block/blk-mq-sched.c:__blk_mq_do_dispatch_sched(),
drivers/block/virtio_blk.c:virtio_queue_rq(), virtblk_add_req(), v6.12.
"""

from libc.stdint cimport int64_t, uint32_t

from replay.engine.controllers.bfq cimport bfq_add, bfq_pick
from replay.engine.disk.deadline cimport deadline_add, deadline_pick
from replay.engine.queues.server cimport (
    server_charge,
    server_enter,
    server_leave,
    waits_from,
    waits_no_more,
)
from replay.engine.state.disk cimport (
    SCHEDULER_BFQ,
    SCHEDULER_DEADLINE,
    Disk,
    List,
)
from replay.engine.state.events cimport push
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport (
    EVENT_COMPLETE,
    EVENT_QUEUE,
    EVENT_SERVED,
    OP_FLUSH,
    OP_READ,
    OP_WRITE,
    Request,
    Sim,
)

cdef enum:
    PAGE_BYTES = 4096
    # of the request's header and its status, see virtblk_add_req()
    OWN_DESCRIPTORS = 2
    # BLK_MQ_DISPATCH_BUSY_EWMA_WEIGHT, 1 << BLK_MQ_DISPATCH_BUSY_EWMA_FACTOR
    BUSY_WEIGHT = 8
    BUSY_STEP = 16


cdef inline int64_t descriptors_of(
    const Disk *disk, const Request *request
) noexcept nogil:
    """Return the descriptors that a request takes: one for each page of its data."""
    cdef int64_t pages = 0
    if disk.descriptors == 0:
        return 0
    if request.op == OP_READ or request.op == OP_WRITE:
        pages = (<int64_t> request.nbytes + PAGE_BYTES - 1) // PAGE_BYTES
    return min(pages + OWN_DESCRIPTORS, disk.descriptors)


# -- lists ----------------------------------------------------------------------------


cdef inline void list_add(Sim *sim, List *list, uint32_t slot) noexcept nogil:
    """Append a request."""
    request_at(sim, slot).next = 0
    if list.last != 0:
        request_at(sim, list.last).next = slot
    else:
        list.first = slot
    list.last = slot


cdef inline uint32_t list_take(Sim *sim, List *list) noexcept nogil:
    """Take out the first request, 0 if there is none."""
    cdef uint32_t slot = list.first
    if slot != 0:
        list.first = request_at(sim, slot).next
        if list.first == 0:
            list.last = 0
    return slot


# -- the scheduler --------------------------------------------------------------------


cdef inline void disk_enter(
    Sim *sim, unsigned int device, uint32_t slot, int64_t now
) noexcept nogil:
    """Let a request wait; a flush goes past the scheduler, to the end of the list.

    Source: block/blk-mq.c:blk_mq_insert_request(), v6.12.
    """
    cdef Disk *disk = &sim.disks[device]
    cdef Request *request = request_at(sim, slot)
    waits_from(sim, &disk.queue, slot, now)
    if request.op == OP_FLUSH:
        list_add(sim, &disk.listed, slot)
    elif disk.scheduler == SCHEDULER_DEADLINE:
        deadline_add(sim, disk, slot, now)
    elif disk.scheduler == SCHEDULER_BFQ:
        request.io_payer = sim.blkcg[request.issuer]
        bfq_add(&sim.bfq[device], sim, slot)
    else:
        list_add(sim, &disk.waiting, slot)


cdef inline uint32_t disk_pick(
    Sim *sim, unsigned int device, int64_t now
) noexcept nogil:
    """Take the next request out of the scheduler, 0 if none waits in it."""
    cdef Disk *disk = &sim.disks[device]
    if disk.scheduler == SCHEDULER_DEADLINE:
        return deadline_pick(sim, disk, now)
    if disk.scheduler == SCHEDULER_BFQ:
        if sim.bfq[device].groups[0].weights == 0:
            return 0
        return bfq_pick(&sim.bfq[device], sim)
    return list_take(sim, &disk.waiting)


# -- the ring -------------------------------------------------------------------------


cdef inline void disk_count_busy(Disk *disk, bint refused) noexcept nogil:
    """Move the average by which requests are taken out one by one or in batches."""
    disk.busy = (
        disk.busy * (BUSY_WEIGHT - 1) + (BUSY_STEP if refused else 0)
    ) // BUSY_WEIGHT


cdef inline bint disk_issue(
    Sim *sim, Disk *disk, List *accepted, int64_t now
) noexcept nogil:
    """Issue what stands on the list; return False if the ring refuses one."""
    cdef uint32_t slot = disk.listed.first
    cdef int64_t wanted
    while slot != 0:
        wanted = descriptors_of(disk, request_at(sim, slot))
        if wanted > disk.free:
            disk.stopped = True
            disk_count_busy(disk, True)
            return False
        disk.free -= wanted
        list_take(sim, &disk.listed)
        waits_no_more(sim, &disk.queue, slot)
        list_add(sim, accepted, slot)
        slot = disk.listed.first
    disk_count_busy(disk, False)
    return True


cdef inline uint32_t disk_run(
    Sim *sim, unsigned int device, int64_t now
) noexcept nogil:
    """Issue what the ring has room for; return it, linked by `Request.next`.

    What was taken out before goes first, and nothing is taken out while any of that is
    left. Where the ring refused often, requests are taken out one by one, so that the
    scheduler's order counts; else all at once.
    """
    cdef Disk *disk = &sim.disks[device]
    cdef List accepted
    cdef uint32_t slot
    accepted.first = accepted.last = 0
    if disk.stopped:
        return 0
    if disk.queue.n_waiting > 0:
        # since then nobody has completed: who did last, held the ring
        server_charge(sim, &disk.queue, disk.blocking, now)
    if disk.listed.first != 0 and not disk_issue(sim, disk, &accepted, now):
        return accepted.first
    while True:
        slot = disk_pick(sim, device, now)
        if slot == 0:
            return accepted.first
        list_add(sim, &disk.listed, slot)
        while disk.busy == 0:
            slot = disk_pick(sim, device, now)
            if slot == 0:
                break
            list_add(sim, &disk.listed, slot)
        if not disk_issue(sim, disk, &accepted, now):
            return accepted.first


# -- the pipe and the answer ----------------------------------------------------------


cdef inline void disk_serve(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Let a request that the ring has taken wait for the pipe."""
    cdef const Request *request = request_at(sim, slot)
    if server_enter(sim, &sim.devices[request.device].device, slot, now):
        push(sim, now + request.service_ns, EVENT_SERVED, request.row, slot)


cdef inline void disk_answer(
    Sim *sim, const Disk *disk, uint32_t slot, int64_t now
) noexcept nogil:
    """Complete a request, as soon as the answer has come."""
    cdef const Request *request = request_at(sim, slot)
    push(sim, now + disk.delay_ns, EVENT_COMPLETE, request.row, slot)


cdef inline void disk_served(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """The pipe is done with a request: the next follows, and the disk answers.

    A disk that answers all together does so once the pipe is empty: who is served
    before that waits for those that follow.
    """
    cdef const Request *request = request_at(sim, slot)
    cdef unsigned int device = request.device
    cdef uint32_t issuer = request.issuer
    cdef Disk *disk = &sim.disks[device]
    cdef uint32_t other = server_leave(sim, &sim.devices[device].device, issuer, now)
    cdef bint goes_on = other != 0
    if goes_on:
        request = request_at(sim, other)
        push(sim, now + request.service_ns, EVENT_SERVED, request.row, other)
    if not disk.together:
        disk_answer(sim, disk, slot, now)
        return
    if disk.answers.n_waiting > 0:
        server_charge(sim, &disk.answers, issuer, now)
    if goes_on:
        waits_from(sim, &disk.answers, slot, now)
        list_add(sim, &disk.held, slot)
        return
    other = list_take(sim, &disk.held)
    while other != 0:
        waits_no_more(sim, &disk.answers, other)
        disk_answer(sim, disk, other, now)
        other = list_take(sim, &disk.held)
    disk_answer(sim, disk, slot, now)


cdef inline void disk_completed(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Give a request's descriptors back; what was refused is issued again soon."""
    cdef const Request *request = request_at(sim, slot)
    cdef Disk *disk = &sim.disks[request.device]
    if disk.queue.n_waiting > 0:
        server_charge(sim, &disk.queue, request.issuer, now)
    disk.blocking = request.issuer
    disk.free += descriptors_of(disk, request)
    if disk.stopped and not disk.waking:
        disk.waking = True
        push(sim, now + disk.requeue_ns, EVENT_QUEUE, request.device, 0)
