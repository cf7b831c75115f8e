"""Dependent arrivals: a process on a device, as the engine follows it."""

from libc.stdint cimport int64_t, uint32_t

from replay.engine.structures.ends cimport Ends

cdef struct Stream:
    int64_t next            # position in Sim.order
    int64_t end
    int64_t completions     # of its I/Os
    int64_t delay_ns        # of its process before it may go on
    int64_t debt_ns         # slept before the request that is about to be queued
    Ends ends               # that are known, up to those that `completions` holds
    uint32_t unknown        # its requests in flight whose end is an event
    bint waits
    bint owes               # it sleeps before its next request, if its cgroup does
    bint is_kernel
