"""Order among things that wait to be counted: those of near accounts together.

Where there are many accounts, what is counted next to each other then lies near each
other in memory. The order within an account stays.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

cdef enum:
    # accounts whose counters and histograms fit the caches together
    NEAR_SHIFT = 7
    MAX_PARTS = 1 << 11


cdef inline bint are_far(uint32_t n_accounts) noexcept nogil:
    """Tell whether accounts are too many for the caches."""
    return n_accounts >> NEAR_SHIFT > 1


cdef inline void near_sort(
    const uint8_t *items,
    uint8_t *out,
    uint32_t n,
    size_t item_bytes,
    size_t account_at,
    uint32_t n_accounts,
) noexcept nogil:
    """Copy items, whose account is a uint32_t at an offset, ordered by its high bits.

    Inlined, the sizes are constants: a copy is a few moves.
    """
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
