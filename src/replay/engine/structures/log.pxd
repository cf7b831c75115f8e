"""An append-only log of samples, partitioned by account before it is folded.

Sums, extremes and buckets do not depend on the order of the samples. Where there are many
accounts, neighbours in the partitioned log are neighbours in memory. The order within an
account stays.

Item sizes are compile-time constants at every call, so that memcpy becomes moves.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from replay.engine.structures.arena cimport allocate

cdef enum:
    # accounts whose counters and histograms fit the caches together
    NEAR_SHIFT = 7
    MAX_PARTS = 1 << 11
    # items that are held, for many accounts and at most: 16 or 24 MiB, twice
    ITEMS_AN_ACCOUNT = 8
    MAX_ITEMS = 1 << 20

cdef struct Log:
    void *items
    void *sorted            # as many: room to sort them
    uint32_t length
    uint32_t capacity


cdef inline bint are_far(uint32_t n_accounts) noexcept nogil:
    """Return True if accounts are too many for the caches."""
    return n_accounts >> NEAR_SHIFT > 1


cdef inline void items_sort(
    const uint8_t *items,
    uint8_t *out,
    uint32_t n,
    size_t item_bytes,
    size_t account_at,
    uint32_t n_accounts,
) noexcept nogil:
    """Copy items, whose account is a uint32_t at an offset, ordered by its high bits."""
    cdef uint32_t place[MAX_PARTS + 1]
    cdef int shift = NEAR_SHIFT
    cdef uint32_t i, part, count
    cdef uint32_t at = 0
    while n_accounts >> shift >= MAX_PARTS:
        shift += 1
    for i in range(MAX_PARTS):
        place[i] = 0
    for i in range(n):
        part = (<const uint32_t *> (items + i * item_bytes + account_at))[0] >> shift
        place[part] += 1
    for i in range(MAX_PARTS):
        count = place[i]
        place[i] = at
        at += count
    for i in range(n):
        part = (<const uint32_t *> (items + i * item_bytes + account_at))[0] >> shift
        memcpy(out + place[part] * item_bytes, items + i * item_bytes, item_bytes)
        place[part] += 1


cdef inline void log_close(Log *log) noexcept nogil:
    """Give the memory back."""
    free(log.items)
    free(log.sorted)
    log.items = log.sorted = NULL


cdef inline bint log_open(Log *log, uint32_t capacity, size_t item_bytes) noexcept nogil:
    """Make an empty log; return False if memory ran out."""
    log.length = 0
    log.capacity = capacity
    log.items = allocate(capacity * item_bytes)
    log.sorted = allocate(capacity * item_bytes)
    return log.items != NULL and log.sorted != NULL


cdef inline void log_grow(Log *log, uint32_t n_accounts, size_t item_bytes) noexcept nogil:
    """Hold more if there are more accounts; the log is empty."""
    cdef uint32_t capacity = log.capacity
    cdef Log larger
    while capacity < MAX_ITEMS and capacity < ITEMS_AN_ACCOUNT * n_accounts:
        capacity *= 2
    if capacity == log.capacity:
        return
    if log_open(&larger, capacity, item_bytes):
        log_close(log)
        log[0] = larger
    else:
        log_close(&larger)      # the smaller one does as well


cdef inline const void *log_ordered(
    Log *log, size_t item_bytes, size_t account_at, uint32_t n_accounts
) noexcept nogil:
    """Return the items in the order in which to count them."""
    if not are_far(n_accounts):
        return log.items
    items_sort(
        <const uint8_t *> log.items,
        <uint8_t *> log.sorted,
        log.length,
        item_bytes,
        account_at,
        n_accounts,
    )
    return log.sorted
