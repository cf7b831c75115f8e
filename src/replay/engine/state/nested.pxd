"""A loop device on a loop device: a request as it was on the outer one."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from replay.engine.state.iocost cimport RequestControls

cdef struct Outer:
    int64_t arrival_ns
    int64_t queued_ns
    int64_t prior_ns
    int64_t debt_ns
    int64_t tag_ns
    int64_t dispatch_ns
    int64_t start_ns
    int64_t lock_ns
    int64_t device_ns
    uint64_t sector
    uint32_t n_bios
    uint32_t issuer
    uint32_t memory_payer
    uint32_t io_payer
    uint32_t account
    uint32_t worker
    uint16_t device
    bint is_meta
    bint inside             # the request is on the inner device now
    int64_t cost[2]         # with limits alone
    RequestControls limits    # with io.latency alone
