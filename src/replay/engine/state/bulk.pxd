"""Direct I/O that is written down, until it is counted in bulk (`shortcuts/bulk.pxd`)."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from replay.engine.structures.arena cimport Arena
from replay.engine.structures.log cimport Log

cdef struct BulkRow:
    # a request, not yet counted
    int64_t start_ns
    uint32_t account
    uint32_t nbytes
    uint32_t service_ns
    uint32_t prior_ns       # see Request
    uint16_t n_bios
    uint8_t op              # OP_READ or OP_WRITE

cdef struct Tally:
    # an account's requests that were counted, but not yet told to worker and charge: all
    # that such a request changes, in one line of the cache
    int64_t nbytes[2]       # by op
    int64_t n_bios[2]
    int64_t last_ns         # when the last of them started
    uint32_t n_requests[2]
    uint32_t block[2]       # index of a LatencyBlock, 0 = none yet
    uint32_t worker
    uint32_t charge
    uint8_t prior_stage     # see Device

cdef struct Bulk:
    Log rows                # BulkRow
    int64_t n_told          # rows that tallies hold at most
    Arena tallies           # Tally, by the account's index
