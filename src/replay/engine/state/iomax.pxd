"""``io.max``: a limit, and what waits for it."""

from libc.stdint cimport int32_t, int64_t, uint32_t

cdef struct QueueNode:
    # bios of one direction that one group queued, in itself or at the group above
    # in it; who waits for I/Os alone goes first, with one queue there is nobody
    uint32_t head[2]
    uint32_t tail[2]
    uint32_t next           # the next source whose turn comes

cdef struct IomaxDirection:
    # the slice of a group in one direction; jiffies
    int64_t bps             # -1 = none
    int64_t iops
    int64_t start
    int64_t end
    int64_t bytes
    int64_t ios
    int64_t late            # parts of split bios that are counted at the next look
    uint32_t n_bytes        # that wait for bytes, and for I/Os alone
    uint32_t n_ios
    uint32_t first          # QueueNode whose turn it is, 0 = nothing waits
    uint32_t last
    bint counts_bios        # a request counts as its bios, not as one
    # what the slice allows, worked out once for a jiffy; 0 = for none yet
    int64_t at
    int64_t at_start
    int64_t bytes_jiffies
    int64_t bytes_allowed
    int64_t ios_jiffies
    int64_t ios_allowed
    int64_t over_jiffies    # whole slices since the start
    int64_t next_end

cdef struct IomaxGroup:
    # an io.max line: a cgroup and a device
    IomaxDirection directions[2]
    int64_t dispatch_at     # jiffy at which it is looked at again, -1 = nothing waits
    uint32_t cgroup
    uint32_t version
    int32_t parent          # next limit on the same device upwards, -1 = none
