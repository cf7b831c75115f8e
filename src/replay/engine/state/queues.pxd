"""Queues, a shared lock, and what is known of those that wait."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from replay.engine.structures.heap cimport Heap

cdef enum:
    MAX_WAITING_CGROUPS = 64    # see reference/queues/server.py
    VIRTUAL_SHIFT = 8           # likewise

cdef struct Wait:
    # how long one cgroup waited for another on a resource
    uint32_t waiting
    uint32_t blocking
    uint8_t resource
    int64_t wait_ns
    int64_t count

cdef struct WaitCell:
    # what a Wait has got since it was last looked at
    int64_t wait_ns
    int64_t count

cdef struct Waiting:
    # the requests of one cgroup that wait in one queue
    uint32_t cgroup
    uint32_t count          # 0: the place is free
    uint32_t wait           # the Wait of the last blocker, a cache
    uint64_t late_ns        # by how much they began to wait after the last release

cdef struct Server:
    # FIFO queue in front of `capacity` places
    uint32_t capacity
    uint32_t in_use
    uint32_t head
    uint32_t tail
    uint32_t lanes          # first of its entries in Sim.waiting
    uint8_t n_lanes         # up to the last that is taken
    uint8_t n_waiting       # cgroups
    uint8_t room            # entries there are
    uint8_t resource
    int64_t released_ns     # from when those that wait are still to be charged

cdef struct Sharer:
    # the requests of one cgroup that share a lock
    uint32_t cgroup
    uint32_t count          # 0: the place is free
    uint32_t partner        # the last that it was charged with
    uint64_t since_v        # virtual time of the first of them
    int64_t waited_ns       # of those that left
    int64_t charged_ns      # of those and of the present ones
    uint64_t frozen_sum     # of the times from which they wait for one that sleeps

cdef struct SharerPair:
    # what two sharers waited for one another since the last of them left
    int64_t wait_ns
    uint64_t rest           # in parts of 2**-8 ns
    uint64_t updated_v
    bint waited             # whether anything was charged to them yet

cdef struct SharedLock:
    Heap holders            # slots of requests by virtual time, then by row
    Sharer *sharers         # by place; the last is for all that are not told apart
    SharerPair *pairs       # a triangle of places, see queues/shared_lock.pxd
    uint64_t live           # places told apart that are taken
    uint64_t several        # those of them whose requests ever were more than one
    uint64_t virtual_time
    int64_t updated_ns
    int64_t frozen_ns       # one sleeps with the lock held since then; -1 = none
    int64_t finish_ns       # when the first is done; -1 = nobody knows
    int64_t event_ns        # when the event comes that asks; -1 = there is none
    bint parallel           # holders wait for sleepers alone
