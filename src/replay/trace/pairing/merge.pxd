"""Merge of the sources by (time, cpu, sequence): a tree of matches that they have lost.

Of equal heads the source that was given first goes first. Source i is leaf n + i; node
k, from 1 on, holds who lost the match between the winners below 2k and 2k + 1. A source
that advances plays up the path of its leaf, which is known beforehand, and without a
branch that depends on who wins: the processor would guess it wrong half of the time.
Records of one source often come in a row: then nobody has to play.
"""

from libc.stdint cimport uint32_t, uint64_t

from replay.trace.blktrace._source cimport Source, source_next, source_step, source_tie


cdef extern from *:
    """
    #include <stdint.h>
    /* Let the smaller time go on, with its number, and the other one stay. Which it is
       cannot be foreseen: without a branch. */
    static inline void loser_stays(uint64_t *ns, uint32_t *number,
                                   uint64_t *ns_here, uint32_t *number_here,
                                   int here_wins) {
        uint64_t a = *ns, b = *ns_here;
        uint32_t differ = (*number ^ *number_here) & -(uint32_t)here_wins;
        *ns = a < b ? a : b;
        *ns_here = a < b ? b : a;
        *number ^= differ;
        *number_here ^= differ;
    }
    """
    void loser_stays(
        uint64_t* ns,
        uint32_t* number,
        uint64_t* ns_here,
        uint32_t* number_here,
        int here_wins,
    ) noexcept nogil


cdef enum:
    #: Nobody has played here yet.
    NOBODY = 0xffffffff


ctypedef struct Loser:
    #: Of its head; the largest number if its source has ended.
    uint64_t sort_ns
    uint32_t number


ctypedef struct Merge:
    Source* sources
    uint32_t n_sources
    #: As many as there are sources; the first is not used.
    Loser* losers
    #: Source of the smallest head; valid while ``n_live``.
    uint32_t first
    uint32_t n_live


cdef inline bint source_before(
    const Source* sources, uint32_t left, uint32_t right
) noexcept nogil:
    """Order of two heads of one time: total, for no two sources have one number.

    Nobody wins against everyone, and so leaves the tree.
    """
    cdef uint64_t a
    cdef uint64_t b
    if left == <uint32_t>NOBODY or right == <uint32_t>NOBODY:
        return right != <uint32_t>NOBODY
    a = source_tie(&sources[left])
    b = source_tie(&sources[right])
    return a < b if a != b else left < right


cdef inline void merge_play(Merge* merge, uint32_t number) noexcept nogil:
    """Let a source whose head is new play its way up; the winner is ``first``."""
    cdef uint32_t node = (merge.n_sources + number) >> 1
    cdef uint64_t sort_ns = merge.sources[number].sort_ns
    cdef bint wins
    cdef Loser* loser
    while node:
        loser = &merge.losers[node]
        wins = loser.sort_ns < sort_ns
        if loser.sort_ns == sort_ns:
            wins = source_before(merge.sources, loser.number, number)
        loser_stays(&sort_ns, &number, &loser.sort_ns, &loser.number, wins)
        node >>= 1
    merge.first = number


cdef inline void source_ended(Merge* merge, Source* source) noexcept nogil:
    """Put a source behind all that have a record."""
    merge.n_live -= 1
    source.sort_ns = <uint64_t>0 - 1


cdef inline void merge_start(Merge* merge) noexcept nogil:
    """Read every source's first record and let them play; all else is set."""
    cdef uint32_t number
    merge.n_live = merge.n_sources
    for number in range(merge.n_sources):
        merge.losers[number].sort_ns = 0
        merge.losers[number].number = NOBODY
    for number in range(merge.n_sources):
        merge.sources[number].live = True
        source_next(&merge.sources[number])
        if not merge.sources[number].live:
            source_ended(merge, &merge.sources[number])
        merge_play(merge, number)


cdef inline uint64_t merge_limit(const Merge* merge) noexcept nogil:
    """Time of the second smallest head: so far the first source may go on alone."""
    cdef uint32_t node = (merge.n_sources + merge.first) >> 1
    cdef uint64_t limit_ns = <uint64_t>0 - 1
    while node:
        limit_ns = min(limit_ns, merge.losers[node].sort_ns)
        node >>= 1
    return limit_ns


cdef inline void merge_step(Merge* merge, Source* source) noexcept nogil:
    """Read the first source's next record; it has to play before another is asked for."""
    if not source_step(source):
        source_next(source)
        if not source.live:
            source_ended(merge, source)


cdef inline void merge_advance(Merge* merge) noexcept nogil:
    """Step the first source and find the new one; ``n_live`` must not be 0."""
    merge_step(merge, &merge.sources[merge.first])
    merge_play(merge, merge.first)
