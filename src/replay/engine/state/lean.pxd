"""State of the lean path: see `shortcuts/lean.pxd`."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free

from replay.engine.structures.arena cimport Arena, arena_close
from replay.engine.structures.heap cimport Heap, heap_close
from replay.engine.structures.log cimport Log, log_close

cdef struct LeanWorker:
    # beside the Worker of the same index; what it counts is added there at the end.
    # All of it is 64 bytes, a line of memory, and lies in one
    int64_t free_ns         # done with all that it was given; -1 = freed
    int64_t busy_ns
    int64_t commands
    int64_t wait_ns         # of its one issuer, behind itself
    int64_t wait_count
    # ends of its commands but the last, which is `free_ns`, in a ring of Lean.ends: from
    # the first that may not be past
    uint32_t ring
    uint32_t first          # counts on and on, as the next one
    uint32_t end
    uint32_t issuer
    uint32_t serving        # slot of the command it is at, if its issuers are several
    uint8_t room_shift      # the ring's room is a power of two
    uint8_t shared          # they are

cdef struct LeanRow:
    # a request, not yet counted
    uint32_t account
    uint32_t charge
    uint32_t nbytes
    uint32_t service_ns
    uint32_t wait_ns
    uint32_t prior_ns       # see Request
    uint16_t n_bios
    uint8_t op              # OP_READ or OP_WRITE

cdef struct LeanCommand:
    # who serves a row, and who pays
    uint32_t account
    uint32_t worker
    uint32_t io_payer
    uint32_t memory_payer

cdef struct LeanTouch:
    # what a request does to pages once it is served
    int64_t row
    uint64_t sector
    uint32_t nbytes
    uint32_t account
    uint32_t issuer
    uint32_t worker
    uint32_t memory_payer
    uint32_t next           # the next free one
    uint16_t device
    uint8_t op

cdef struct LeanDevice:
    int64_t idled_ns        # first idle moment seen since its timer ran out; -1 = none
    bint watched            # a timer looks for such moments

cdef struct Lean:
    Arena workers
    Arena ends              # int64_t, times
    LeanDevice *devices
    int64_t timer_ns        # of the first timer
    uint32_t *n_issuers     # of each cgroup's worker
    Log rows                # LeanRow
    int64_t n_told          # rows that they hold at most
    Arena touches
    uint32_t free_touch
    uint32_t n_frees        # touches that free pages
    bint wide               # a file has more leaves than lie in the nearer caches
    Heap order              # of touches
    # by the place in the batch: when a write is served that had nothing to do when it
    # arrived; 0 = another one
    int64_t *settled_ns
    int64_t max_settled
    int64_t n_reopened      # rows of the batch that were looked through


cdef inline void lean_close(Lean *lean) noexcept nogil:
    """Give the memory back."""
    arena_close(&lean.workers)
    arena_close(&lean.ends)
    arena_close(&lean.touches)
    heap_close(&lean.order)
    free(lean.devices)
    free(lean.n_issuers)
    log_close(&lean.rows)
    free(lean.settled_ns)
