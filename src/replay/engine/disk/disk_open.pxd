"""Plain disks, from a run's setup."""

from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc

from replay.engine.queues.server cimport server_open
from replay.engine.state.disk cimport (
    N_SCHEDULERS,
    SCHEDULER_BFQ,
    Disk,
)
from replay.engine.state.sim cimport RESOURCE_DEVICE, RESOURCE_QUEUE, Sim

cdef enum:
    MAX_DESCRIPTORS = 1 << 30


cdef inline int disks_open(Sim *sim, setup) except -1:
    """Make the disks whose queue is replayed; the rest of the state is open.

    Raises ValueError for what does not fit, MemoryError.
    """
    cdef const int8_t[::1] scheduler = setup.disk_scheduler
    cdef const int64_t[::1] descriptors = setup.disk_descriptors
    cdef const int64_t[::1] requeue_ns = setup.disk_requeue_ns
    cdef const int64_t[::1] delay_ns = setup.disk_delay_ns
    cdef const uint8_t[::1] together = setup.disk_together.view("u1")
    cdef uint32_t i
    cdef Disk *disk
    if scheduler.shape[0] == 0:
        return 0
    if not (
        sim.n_devices
        == len(scheduler)
        == len(descriptors)
        == len(requeue_ns)
        == len(delay_ns)
        == len(together)
        == len(setup.disk_pipe)
    ):
        raise ValueError("setup: tables of disks and devices differ in length")
    sim.disks = <Disk *> calloc(sim.n_devices, sizeof(Disk))
    if sim.disks == NULL:
        raise MemoryError
    for i in range(sim.n_devices):
        disk = &sim.disks[i]
        if not setup.is_disk(i):
            continue
        if scheduler[i] >= N_SCHEDULERS or (
            scheduler[i] == SCHEDULER_BFQ and sim.bfq == NULL
        ):
            raise ValueError("setup: a scheduler that is not known, or has no weights")
        if not 0 <= descriptors[i] <= MAX_DESCRIPTORS:
            raise ValueError("setup: a ring of more than 2**30 descriptors")
        if delay_ns[i] < 0 or requeue_ns[i] < 0:
            raise ValueError("setup: a time of a disk below 0")
        disk.is_on = True
        disk.scheduler = <uint8_t> scheduler[i]
        disk.together = together[i] != 0
        disk.descriptors = disk.free = descriptors[i]
        disk.delay_ns = delay_ns[i]
        disk.requeue_ns = requeue_ns[i]
        server_open(&disk.queue, 0, RESOURCE_QUEUE)
        server_open(&disk.answers, 0, RESOURCE_DEVICE)
        sim.devices[i].device.capacity = 1
    return 0
