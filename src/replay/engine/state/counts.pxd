"""Counts of a run as a whole, and rare occurrences."""

from libc.stdint cimport int32_t, int64_t, uint32_t

cdef struct Kill:
    int64_t time_ns
    int64_t usage_bytes
    int64_t row
    uint32_t limit_cgroup
    uint32_t victim_cgroup
    int32_t task

cdef struct Failure:
    uint32_t cgroup
    int32_t code
    int64_t count
    int64_t nbytes
    int64_t first_ns

cdef struct Counts:
    int64_t requests
    int64_t completed
    int64_t failed
    int64_t unfinished
    int64_t stopped
    int64_t read_only       # not queued, as the file system had turned read-only
    int64_t unissued
    int64_t other_devices
    int64_t workers_alive
    int64_t workers_peak
    int64_t css_refs
    int64_t leaked_refs
    int64_t delays
    int64_t delayed_ns
    int64_t in_flight
