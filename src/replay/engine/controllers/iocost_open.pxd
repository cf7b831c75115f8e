"""Cost models of a run from its setup, and what they counted."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free

from replay.engine.controllers.devices cimport place_take
from replay.engine.controllers.iocost_period cimport usage_finish
from replay.engine.controllers.iocost_weights cimport refresh_margins
from replay.engine.state.iocost cimport (
    PER_US,
    WHOLE,
    IocostDevice,
    IocostGroup,
    IocostRow,
    mul_div,
    mul_div_up,
)
from replay.engine.state.sim cimport Sim


cdef inline void iocost_close(Sim *sim) noexcept nogil:
    """Give the memory of all cost models back."""
    cdef uint32_t i
    for i in range(sim.n_iocosts):
        free(sim.iocosts[i].groups)
    free(sim.iocosts)
    free(sim.iocost_at)


cdef inline void device_times(IocostDevice *device, bint max_up) noexcept nogil:
    """Derive a device's period and the bounds of its rate from its qos."""
    cdef int64_t ppm = device.qos[0]
    cdef int64_t latency = device.qos[1]
    cdef int64_t times = 2
    if device.qos[3] > latency:
        ppm = device.qos[2]
        latency = device.qos[3]
    if ppm != 0:
        times = max((1000000 - ppm) // 50000, 2)
    device.period_us = max(1000, min(times * latency, 1000000))
    device.slack_ns = device.period_us * 10
    device.vrate_min = mul_div_up(device.qos[4], PER_US, 1000000)
    device.vrate_max = mul_div(device.qos[5], PER_US, 1000000)
    if max_up:
        device.vrate_max = mul_div_up(device.qos[5], PER_US, 1000000)
    device.base_rate = device.rate = PER_US
    refresh_margins(device)


cdef inline int iocost_open(Sim *sim, setup) except -1:
    """Make the cost models that a setup asks for.

    Raises ValueError for tables that do not fit, MemoryError.
    """
    cdef const int32_t[::1] place = setup.iocost_device
    cdef const int64_t[:, ::1] coefficients = setup.iocost_coefficients
    cdef const int64_t[:, ::1] qos = setup.iocost_qos
    cdef const uint32_t[:, ::1] weight = setup.iocost_weight
    cdef uint32_t n = <uint32_t> place.shape[0]
    cdef uint32_t i, j
    cdef IocostDevice *device
    cdef IocostGroup *group
    if n == 0:
        return 0
    if (
        coefficients.shape[0] != n or coefficients.shape[1] != 6
        or qos.shape[0] != n or qos.shape[1] != 6
        or weight.shape[0] != n or weight.shape[1] != <Py_ssize_t> sim.n_cgroups
    ):
        raise ValueError("setup: tables of cost models differ in length")
    sim.iocosts = <IocostDevice *> calloc(n, sizeof(IocostDevice))
    sim.iocost_at = <IocostDevice **> calloc(sim.n_devices + 1, sizeof(IocostDevice *))
    if sim.iocosts == NULL or sim.iocost_at == NULL:
        raise MemoryError
    sim.n_iocosts = n
    for i in range(n):
        device = &sim.iocosts[i]
        place_take(sim, <void **> sim.iocost_at, place[i], device, "cost models")
        device.place = place[i]
        device.max_bytes = sim.set.max_bytes if place[i] < 0 else 1 << 32
        device.period_at = sim.set.boot_ns // 1000
        for j in range(6):
            device.coefficients[j] = coefficients[i, j]
            device.qos[j] = qos[i, j]
        device_times(device, setup.iocost_max_up)
        device.groups = <IocostGroup *> calloc(sim.n_cgroups, sizeof(IocostGroup))
        if device.groups == NULL:
            raise MemoryError
        for j in range(sim.n_cgroups):
            group = &device.groups[j]
            group.parent = sim.groups[j].parent
            group.weight = <int64_t> weight[i, j] * WHOLE
            group.hw_active = group.hw_inuse = WHOLE
            group.generation = -1
            group.timer_ns = -1
            group.wait_since = group.indebt_since = group.indelay_since = -1
    return 0


cdef inline bytes iocost_bytes(Sim *sim):
    """Return a `IocostRow` for each group that used or waited for anything."""
    cdef const IocostGroup *group
    cdef IocostRow row
    cdef uint32_t i, j
    cdef list rows = []
    for i in range(sim.n_iocosts):
        usage_finish(&sim.iocosts[i])
        for j in range(sim.n_cgroups):
            group = &sim.iocosts[i].groups[j]
            if group.usage or group.wait or group.indebt or group.indelay:
                row.cgroup = j
                row.device = sim.iocosts[i].place
                row.usage = group.usage
                row.wait = group.wait
                row.indebt = group.indebt
                row.indelay = group.indelay
                rows.append(
                    PyBytes_FromStringAndSize(<const char *> &row, sizeof(IocostRow))
                )
    return b"".join(rows)
