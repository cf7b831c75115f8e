"""Merge of the sources by (time, cpu, sequence): a binary heap of their heads.

The heap holds source numbers, the smallest head first; equal heads in the order in
which the sources were given. It is small (one entry a file) and its root mostly stays
where it is, so an advance costs two comparisons.
"""

from libc.stdint cimport uint32_t

from replay.trace._source cimport Source, source_next


ctypedef struct Merge:
    Source* sources
    uint32_t* heap
    uint32_t n_live


cdef inline bint source_before(
    const Source* sources, uint32_t left, uint32_t right
) noexcept nogil:
    """Order of two heads; total, for no two sources have one number."""
    cdef const Source* a = &sources[left]
    cdef const Source* b = &sources[right]
    if a.sort_ns != b.sort_ns:
        return a.sort_ns < b.sort_ns
    if a.sort_tie != b.sort_tie:
        return a.sort_tie < b.sort_tie
    return left < right


cdef inline void merge_sift(Merge* merge, uint32_t place) noexcept nogil:
    """Move the entry at ``place`` down to where no child is before it."""
    cdef uint32_t moving = merge.heap[place]
    cdef uint32_t child
    while True:
        child = 2 * place + 1
        if child >= merge.n_live:
            break
        if child + 1 < merge.n_live and source_before(
            merge.sources, merge.heap[child + 1], merge.heap[child]
        ):
            child += 1
        if not source_before(merge.sources, merge.heap[child], moving):
            break
        merge.heap[place] = merge.heap[child]
        place = child
    merge.heap[place] = moving


cdef inline void merge_start(Merge* merge, uint32_t n_sources) noexcept nogil:
    """Read every source's first record and build the heap."""
    cdef uint32_t number
    merge.n_live = 0
    for number in range(n_sources):
        merge.sources[number].live = True
        source_next(&merge.sources[number])
        if merge.sources[number].live:
            merge.heap[merge.n_live] = number
            merge.n_live += 1
    for number in range(merge.n_live // 2, 0, -1):
        merge_sift(merge, number - 1)


cdef inline void merge_advance(Merge* merge) noexcept nogil:
    """Step the first source; ``n_live`` must not be 0."""
    cdef Source* source = &merge.sources[merge.heap[0]]
    source_next(source)
    if not source.live:
        merge.n_live -= 1
        merge.heap[0] = merge.heap[merge.n_live]
    if merge.n_live > 1:
        merge_sift(merge, 0)
