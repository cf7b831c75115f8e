"""A plain disk: what its scheduler holds, its ring of descriptors, its pipe.

    Disk, one of each device
     ├─ sides      of mq-deadline: reads, and all else; a tree by sector, a FIFO    Side
     │              └─ places, one of each request in it, by its slot               Place
     ├─ listed     requests that were taken out of the scheduler, in their order
     ├─ queue      who waits in the scheduler and on that list       Server, lanes alone
     └─ answers    who is served and waits for others to be          Server, lanes alone

The pipe is `Device.device`, of one place. Lists are linked by `Request.next`.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from replay.engine.state.queues cimport Server

cdef enum:
    # replay.engine.setup.Scheduler
    SCHEDULER_NONE = 0
    SCHEDULER_DEADLINE = 1
    SCHEDULER_BFQ = 2
    N_SCHEDULERS = 3

cdef struct Place:
    # a request in mq-deadline's queue
    uint64_t stamp          # when it was put in, to tell equal sectors apart
    int64_t expires_ns
    uint32_t before         # in the FIFO
    uint32_t behind
    uint32_t low            # in the tree: what lies at lower sectors, at higher ones
    uint32_t high
    uint32_t rank           # parents have a larger one

cdef struct Side:
    uint32_t root
    uint32_t first          # of the FIFO
    uint32_t last
    uint64_t sector         # where the last request that was taken out begins

cdef struct List:
    uint32_t first
    uint32_t last

cdef struct Disk:
    Server queue
    Server answers
    Side sides[2]
    List waiting            # in scheduler `none`
    List listed
    List held               # served, and waiting for others to be
    uint8_t scheduler
    uint8_t side            # of mq-deadline's present batch
    bint is_on
    bint together
    bint stopped            # refused one, and waits for a completion
    bint waking             # and that has come
    uint32_t batched
    uint32_t starved
    uint32_t busy           # blk-mq's average of refusals, 0 to 15
    uint32_t blocking       # issuer of the last completion
    uint64_t stamps
    int64_t descriptors     # 0: the ring is never full
    int64_t free
    int64_t delay_ns
    int64_t requeue_ns
