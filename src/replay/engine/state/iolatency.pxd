"""``io.latency``: a device where a target is set, and its groups."""

from libc.stdint cimport int32_t, int64_t, uint32_t

cdef struct Samples:
    # latencies of a window
    int64_t total
    int64_t missed
    int64_t sum_ns

cdef struct IolatencyGroup:
    int64_t target_ns       # 0 = none
    int64_t window_ns
    int64_t window_start
    int64_t cookie
    int64_t depth
    int64_t in_flight
    uint32_t head           # request slots that wait, linked by Request.next
    uint32_t tail
    int32_t parent          # -1 for the root
    int32_t child_owner     # who has the others held, -1 = nobody
    Samples now
    Samples kept
    int64_t samples
    # what the children of this group share
    int64_t child_cookie
    int64_t child_event
    int64_t child_target
    int64_t child_samples
    # the delay of tasks
    int64_t use_delay
    int64_t delay_ns
    int64_t delay_start
    int64_t last_delay
    int64_t last_use

cdef struct IolatencyDevice:
    IolatencyGroup *groups
    int32_t place           # position in Sim.devices, -1 for the one below
    int64_t requests
    bint rotates
    bint timer_is_set
