"""A disk that runs bfq: its cgroups, and who of them waits. See reference/controllers/bfq.py.

    BfqDisk
     ├─ entities   two of each cgroup: its own requests, itself at its parent  BfqEntity
     ├─ groups     one of each cgroup, by its dense id                         BfqGroup
     └─ heap       a piece for each cgroup, of as many as may wait there: from its
                   beginning a heap of those that have started, by finish, from its end
                   a heap of the others, by start

Virtual time is in 2**-22 sectors of weight 1 and wraps; only differences are looked at.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef enum:
    BFQ_OWN_WEIGHT = 40     # a process of the default priority
    BFQ_SHIFT = 22          # WFQ_SERVICE_SHIFT

cdef struct BfqEntity:
    uint64_t start
    uint64_t finish
    uint64_t stamp          # when it was put in last, to tell equal ones apart
    int64_t budget          # sectors of the request that it has served next
    uint32_t weight
    bint waits

cdef struct BfqGroup:
    uint64_t vtime
    int64_t weights         # of all that wait here
    int32_t parent          # -1 for the root
    uint32_t head           # request slots that wait, linked by Request.next
    uint32_t tail
    uint32_t first          # of its piece of the heap
    uint32_t size
    uint32_t n_started
    uint32_t n_others

cdef struct BfqDisk:
    BfqEntity *entities
    BfqGroup *groups
    uint32_t *heap
    uint64_t stamps
