"""Limits of `io.max` as a setup has them, and which one stands above each."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, malloc

from replay.engine.state.iomax cimport Limit, QueueNode
from replay.engine.state.sim cimport Sim


cdef inline void parents_find(Sim *sim) noexcept nogil:
    """Give each cgroup the nearest limit at or above it, and each limit the next one."""
    cdef int32_t *limits
    cdef Limit *limit
    cdef uint32_t i, c
    for i in range(sim.n_devices + 1):
        limits = sim.limit_of[i]
        if limits == NULL:
            continue
        for c in range(sim.n_cgroups):
            if limits[c] < 0:
                limits[c] = -1 if c == 0 else limits[sim.groups[c].parent]
            else:
                limit = &sim.limits[limits[c]]
                limit.parent = -1 if c == 0 else limits[sim.groups[c].parent]


cdef inline int throttle_open(Sim *sim, setup) except -1:
    """Make the limits of a setup.

    Raises
    ------
    ValueError
        Its tables differ in length, or name what it has not.
    """
    cdef const uint32_t[::1] cgroup = setup.throttle_cgroup
    cdef const int32_t[::1] device = setup.throttle_device
    cdef const int64_t[::1] rbps = setup.throttle_rbps
    cdef const int64_t[::1] wbps = setup.throttle_wbps
    cdef const int64_t[::1] riops = setup.throttle_riops
    cdef const int64_t[::1] wiops = setup.throttle_wiops
    cdef Py_ssize_t n = cgroup.shape[0]
    cdef int32_t *limits
    cdef Limit *limit
    cdef Py_ssize_t i
    cdef uint32_t c
    if {len(device), len(rbps), len(wbps), len(riops), len(wiops)} != {n}:
        raise ValueError("setup: tables of limits differ in length")
    sim.limits = <Limit *> calloc(<size_t> n + 1, sizeof(Limit))
    sim.queue_nodes = <QueueNode *> calloc(<size_t> n * 4 + 1, sizeof(QueueNode))
    sim.limit_of = <int32_t **> calloc(sim.n_devices + 1, sizeof(int32_t *))
    if sim.limits == NULL or sim.queue_nodes == NULL or sim.limit_of == NULL:
        raise MemoryError
    for i in range(n):
        if cgroup[i] >= sim.n_cgroups or not (
            -1 <= device[i] < <int32_t> sim.n_devices
        ):
            raise ValueError("setup: a limit of a cgroup or device beyond the last")
        limits = sim.limit_of[device[i] + 1]
        if limits == NULL:
            limits = <int32_t *> malloc(sim.n_cgroups * sizeof(int32_t))
            if limits == NULL:
                raise MemoryError
            sim.limit_of[device[i] + 1] = limits
            for c in range(sim.n_cgroups):
                limits[c] = -1
        limits[cgroup[i]] = <int32_t> i
        limit = &sim.limits[i]
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
