"""Bits of a 64-bit mask: how many, the lowest, the n lowest."""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    /* without its own instruction the builtin is a call into a library */
    static inline int replay_popcount(uint64_t value)
    {
        value -= value >> 1 & 0x5555555555555555u;
        value = (value & 0x3333333333333333u) + (value >> 2 & 0x3333333333333333u);
        value = (value + (value >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
        return (int)(value * 0x0101010101010101u >> 56);
    }
    #define replay_lowest(value) __builtin_ctzll(value)
    """
    int popcount "replay_popcount"(uint64_t value) noexcept nogil
    # number of the lowest bit that is set; there is one
    int lowest_bit "replay_lowest"(uint64_t value) noexcept nogil


cdef inline uint64_t low_bits(uint64_t mask, int64_t n) noexcept nogil:
    """Return the n lowest set bits of a mask."""
    cdef uint64_t rest = mask
    while n > 0 and rest != 0:
        rest &= rest - 1
        n -= 1
    return mask ^ rest
