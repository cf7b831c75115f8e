"""Disks that run bfq, from a run's setup."""

from libc.stdint cimport int32_t, uint32_t
from libc.stdlib cimport calloc, free

from replay.engine.state.bfq cimport BFQ_OWN_WEIGHT, BfqDisk, BfqEntity, BfqGroup
from replay.engine.state.sim cimport Sim


cdef inline void bfq_close(Sim *sim) noexcept nogil:
    """Give the memory of all disks back."""
    cdef uint32_t i
    if sim.bfq != NULL:
        for i in range(sim.n_devices):
            free(sim.bfq[i].entities)
            free(sim.bfq[i].groups)
            free(sim.bfq[i].heap)
    free(sim.bfq)


cdef inline int bfq_open(Sim *sim, setup) except -1:
    """Make the disks, if they run bfq and requests wait for them.

    Raises ValueError for weights that do not fit, MemoryError.
    """
    cdef const uint32_t[::1] weight = setup.bfq_weight
    cdef const int32_t[::1] parent = setup.parent
    cdef uint32_t n = sim.n_cgroups
    cdef uint32_t i, c, first
    cdef BfqDisk *disk
    if weight.shape[0] == 0 or not (sim.set.device_on or len(setup.disk_scheduler)):
        return 0
    if weight.shape[0] != <Py_ssize_t> n:
        raise ValueError("setup: weights of bfq and cgroups differ in length")
    for c in range(n):
        if not 1 <= weight[c] <= 1000:
            raise ValueError("setup: a weight of bfq is 1 to 1000")
    sim.bfq = <BfqDisk *> calloc(sim.n_devices, sizeof(BfqDisk))
    if sim.bfq == NULL:
        raise MemoryError
    for i in range(sim.n_devices):
        disk = &sim.bfq[i]
        disk.entities = <BfqEntity *> calloc(2 * <size_t> n, sizeof(BfqEntity))
        disk.groups = <BfqGroup *> calloc(n, sizeof(BfqGroup))
        disk.heap = <uint32_t *> calloc(2 * <size_t> n, sizeof(uint32_t))
        if disk.entities == NULL or disk.groups == NULL or disk.heap == NULL:
            raise MemoryError
        for c in range(n):
            disk.entities[2 * c].weight = BFQ_OWN_WEIGHT
            disk.entities[2 * c + 1].weight = weight[c]
            disk.groups[c].parent = parent[c]
            disk.groups[c].size += 1
            if c > 0:
                disk.groups[parent[c]].size += 1
        first = 0
        for c in range(n):
            disk.groups[c].first = first
            first += disk.groups[c].size
    return 0
