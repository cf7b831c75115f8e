"""Policy `backcharge`: who issued pays after the fact, and is delayed for it.

The I/O goes below at once, as the root's; what it costs there is added to the issuer's
debt. A process whose cgroup is far over its budget sleeps before it issues again.
Source: block/blk-cgroup.c:blkcg_maybe_throttle_blkg(), v6.1, which takes the longest
delay of a cgroup and of those above it; kernel threads do not sleep. The kernel marks
only who submits himself; the policy takes it that the driver marks who issued.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.controllers.iocost cimport iocost_device, iocost_owe
from replay.engine.driver.policies cimport is_kernel_pid
from replay.engine.state.iocost cimport IocostDevice
from replay.engine.state.requests cimport request_at
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport Request, Sim
from replay.engine.state.stream_types cimport Stream
from replay.engine.state.streams cimport part_of


cdef inline int64_t delay_of(const Sim *sim, uint32_t cgroup) noexcept nogil:
    """Return for how long tasks of a cgroup sleep when they leave the kernel now, ns."""
    cdef const IocostDevice *device = iocost_device(sim, -1)
    cdef int32_t at = <int32_t> cgroup
    cdef int64_t longest = 0
    while device != NULL and at > 0:
        if device.groups[at].in_delay:
            longest = max(longest, device.groups[at].delay_ns)
        at = device.groups[at].parent
    return longest


cdef inline void backcharge(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Add what a request costs on the device below to its issuer's debt."""
    cdef const Request *request = request_at(sim, slot)
    cdef uint32_t blkcg = sim.blkcg[request.issuer]
    if iocost_owe(sim, iocost_device(sim, -1), slot, blkcg, now) == 0:
        return
    if is_kernel_pid(sim, request.pid):
        return  # it never sleeps
    if request.stream >= 0:
        sim.streams[request.stream].owes = True
        return
    # recorded arrivals come when they came: it is counted, and nobody sleeps
    sim.counts.delays += 1
    sim.counts.delayed_ns += delay_of(sim, blkcg)


cdef inline int64_t stream_delay(Sim *sim, int32_t index) noexcept nogil:
    """Return for how long a stream sleeps before the request that it is about to queue."""
    cdef Stream *stream = &sim.streams[index]
    cdef int64_t position = sim.order[stream.next]
    cdef const Columns *columns
    cdef int64_t delay_ns
    if not stream.owes:
        return 0
    stream.owes = False
    columns = part_of(sim, &position)
    delay_ns = delay_of(sim, sim.blkcg[columns.issuer[position]])
    if delay_ns > 0:
        sim.counts.delays += 1
        sim.counts.delayed_ns += delay_ns
    return delay_ns
