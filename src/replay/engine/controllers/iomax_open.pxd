"""Limits of `io.max` as a setup has them, and which one stands above each."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, malloc

from replay.engine.state.iomax cimport IomaxGroup, QueueNode
from replay.engine.state.sim cimport Sim


cdef inline void parents_find(Sim *sim) noexcept nogil:
    """Give each cgroup the nearest limit at or above it, and each limit the next one."""
    cdef int32_t *groups
    cdef IomaxGroup *limit
    cdef uint32_t i, c
    for i in range(sim.n_devices + 1):
        groups = sim.iomax_of[i]
        if groups == NULL:
            continue
        for c in range(sim.n_cgroups):
            if groups[c] < 0:
                groups[c] = -1 if c == 0 else groups[sim.groups[c].parent]
            else:
                limit = &sim.iomax[groups[c]]
                limit.parent = -1 if c == 0 else groups[sim.groups[c].parent]


cdef inline int iomax_open(Sim *sim, setup) except -1:
    """Make the limits of a setup.

    Raises
    ------
    ValueError
        Its tables differ in length, or name what it has not.
    """
    cdef const uint32_t[::1] cgroup = setup.iomax_cgroup
    cdef const int32_t[::1] device = setup.iomax_device
    cdef const int64_t[::1] rbps = setup.iomax_rbps
    cdef const int64_t[::1] wbps = setup.iomax_wbps
    cdef const int64_t[::1] riops = setup.iomax_riops
    cdef const int64_t[::1] wiops = setup.iomax_wiops
    cdef Py_ssize_t n = cgroup.shape[0]
    cdef int32_t *groups
    cdef IomaxGroup *limit
    cdef Py_ssize_t i
    cdef uint32_t c
    if {len(device), len(rbps), len(wbps), len(riops), len(wiops)} != {n}:
        raise ValueError("setup: tables of limits differ in length")
    sim.iomax = <IomaxGroup *> calloc(<size_t> n + 1, sizeof(IomaxGroup))
    sim.queue_nodes = <QueueNode *> calloc(<size_t> n * 4 + 1, sizeof(QueueNode))
    sim.iomax_of = <int32_t **> calloc(sim.n_devices + 1, sizeof(int32_t *))
    if sim.iomax == NULL or sim.queue_nodes == NULL or sim.iomax_of == NULL:
        raise MemoryError
    for i in range(n):
        if cgroup[i] >= sim.n_cgroups or not (
            -1 <= device[i] < <int32_t> sim.n_devices
        ):
            raise ValueError("setup: a limit of a cgroup or device beyond the last")
        groups = sim.iomax_of[device[i] + 1]
        if groups == NULL:
            groups = <int32_t *> malloc(sim.n_cgroups * sizeof(int32_t))
            if groups == NULL:
                raise MemoryError
            sim.iomax_of[device[i] + 1] = groups
            for c in range(sim.n_cgroups):
                groups[c] = -1
        groups[cgroup[i]] = <int32_t> i
        limit = &sim.iomax[i]
        limit.cgroup = cgroup[i]
        limit.dispatch_at = -1
        limit.directions[0].bps = rbps[i]
        limit.directions[1].bps = wbps[i]
        limit.directions[0].counts_bios = device[i] >= 0 or sim.set.pass_through
        limit.directions[1].counts_bios = limit.directions[0].counts_bios
        limit.directions[0].iops = riops[i]
        limit.directions[1].iops = wiops[i]
    parents_find(sim)
    return 0
