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
from replay.engine.state.iolatency cimport IolatencyDevice, IolatencyGroup
from replay.engine.state.sim cimport Sim


cdef inline void iolatency_close(Sim *sim) noexcept nogil:
    """Give the memory of all groups back."""
    cdef uint32_t i
    for i in range(sim.n_iolatencies):
        free(sim.iolatencies[i].groups)
    free(sim.iolatencies)
    free(sim.iolatency_at)


cdef inline int iolatency_open(Sim *sim, setup) except -1:
    """Make the devices that a setup has targets for.

    Raises ValueError for tables that do not fit, MemoryError.
    """
    cdef const int32_t[::1] place = setup.iolatency_device
    cdef const int64_t[:, ::1] target = setup.iolatency_target
    cdef const int64_t[::1] requests = setup.iolatency_requests
    cdef uint32_t n = <uint32_t> place.shape[0]
    cdef uint32_t i, j
    cdef IolatencyDevice *device
    cdef IolatencyGroup *group
    if n == 0:
        return 0
    if (
        target.shape[0] != n or target.shape[1] != <Py_ssize_t> sim.n_cgroups
        or requests.shape[0] != n or len(setup.iolatency_rotates) != n
    ):
        raise ValueError("setup: tables of latency targets differ in length")
    sim.iolatencies = <IolatencyDevice *> calloc(n, sizeof(IolatencyDevice))
    sim.iolatency_at = <IolatencyDevice **> calloc(
        sim.n_devices + 1, sizeof(IolatencyDevice *)
    )
    if sim.iolatencies == NULL or sim.iolatency_at == NULL:
        raise MemoryError
    sim.n_iolatencies = n
    for i in range(n):
        device = &sim.iolatencies[i]
        place_take(sim, <void **> sim.iolatency_at, place[i], device, "latency targets")
        device.place = place[i]
        device.requests = requests[i]
        device.rotates = setup.iolatency_rotates[i]
        device.groups = <IolatencyGroup *> calloc(sim.n_cgroups, sizeof(IolatencyGroup))
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
