"""Devices with latency targets of a run, from its setup."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free

from replay.engine.controllers.devices cimport place_take
from replay.engine.controllers.iolatency cimport (
    ADJUST_MS,
    DEFAULT_COOKIE,
    NS_PER_MS,
    no_depth,
    second_ns,
)
from replay.engine.state.iolatency cimport LatencyDevice, LatencyGroup
from replay.engine.state.sim cimport Sim


cdef inline void latencies_close(Sim *sim) noexcept nogil:
    """Give the memory of all groups back."""
    cdef uint32_t i
    for i in range(sim.n_latencies):
        free(sim.latencies[i].groups)
    free(sim.latencies)
    free(sim.latency_at)


cdef inline int latencies_open(Sim *sim, setup) except -1:
    """Make the devices that a setup has targets for.

    Raises ValueError for tables that do not fit, MemoryError.
    """
    cdef const int32_t[::1] place = setup.latency_device
    cdef const int64_t[:, ::1] target = setup.latency_target
    cdef const int64_t[::1] requests = setup.latency_requests
    cdef uint32_t n = <uint32_t> place.shape[0]
    cdef uint32_t i, j
    cdef LatencyDevice *device
    cdef LatencyGroup *group
    if n == 0:
        return 0
    if (
        target.shape[0] != n or target.shape[1] != <Py_ssize_t> sim.n_cgroups
        or requests.shape[0] != n or len(setup.latency_rotates) != n
    ):
        raise ValueError("setup: tables of latency targets differ in length")
    sim.latencies = <LatencyDevice *> calloc(n, sizeof(LatencyDevice))
    sim.latency_at = <LatencyDevice **> calloc(
        sim.n_devices + 1, sizeof(LatencyDevice *)
    )
    if sim.latencies == NULL or sim.latency_at == NULL:
        raise MemoryError
    sim.n_latencies = n
    for i in range(n):
        device = &sim.latencies[i]
        place_take(sim, <void **> sim.latency_at, place[i], device, "latency targets")
        device.place = place[i]
        device.requests = requests[i]
        device.rotates = setup.latency_rotates[i]
        device.groups = <LatencyGroup *> calloc(sim.n_cgroups, sizeof(LatencyGroup))
        if device.groups == NULL:
            raise MemoryError
        for j in range(sim.n_cgroups):
            group = &device.groups[j]
            group.parent = sim.groups[j].parent
            group.target_ns = target[i, j]
            group.window_ns = max(
                100 * <int64_t> NS_PER_MS, min(target[i, j] << 4, second_ns())
            )
            group.cookie = group.child_cookie = DEFAULT_COOKIE
            group.depth = no_depth()
            group.child_owner = -1
            group.child_event = -<int64_t> ADJUST_MS * NS_PER_MS
            group.delay_start = -2 * second_ns()
    return 0
