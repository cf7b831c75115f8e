"""``io.weight``: a device with a cost model, its groups, and the arithmetic of both.

    IocostDevice
     ├─ groups    one for each cgroup, by its dense id               IocostGroup
     └─ active    the groups that have a share now, the last made so first

Virtual time runs at 2**37 a second and wraps; only differences are looked at.
Source: block/blk-iocost.c, v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef unsigned __int128 replay_wide;

    /* What 64 bits hold of a cost: months of the device, which no replay comes to. */
    #define REPLAY_FAR ((uint64_t)1 << 61)

    static inline uint64_t replay_divide(replay_wide number, uint64_t by, int up)
    {
        replay_wide result;
        if (number >> 64 == 0) {
            uint64_t narrow = (uint64_t)number;
            uint64_t quotient = narrow / by + (up && narrow % by != 0);
            return quotient < REPLAY_FAR ? quotient : REPLAY_FAR;
        }
        result = number / by + (up && number % by != 0);
        return result < REPLAY_FAR ? (uint64_t)result : REPLAY_FAR;
    }
    /* a * b / c of numbers that are not negative */
    #define replay_mul_div(a, b, c) \\
        ((int64_t)replay_divide((replay_wide)(a) * (uint64_t)(b), (uint64_t)(c), 0))
    #define replay_mul_div_up(a, b, c) \\
        ((int64_t)replay_divide((replay_wide)(a) * (uint64_t)(b), (uint64_t)(c), 1))
    /* rounded towards 0 whatever the sign */
    #define replay_cut_div(times, a, c) ((int64_t)((__int128)(times) * (a) / (c)))
    """
    int64_t mul_div "replay_mul_div"(int64_t a, int64_t b, int64_t c) noexcept nogil
    int64_t mul_div_up "replay_mul_div_up"(
        int64_t a, int64_t b, int64_t c
    ) noexcept nogil
    int64_t cut_div "replay_cut_div"(
        int64_t times, int64_t a, int64_t c
    ) noexcept nogil
    const int64_t FAR "REPLAY_FAR"

cdef enum:
    WHOLE = 1 << 16         # a share of the whole device
    PER_US = 137438         # virtual time of a us, rounded as the kernel has it
    PER_NS = 137
    ABOVE = 0               # positions in Request.cost
    BELOW = 1

cdef struct IocostNow:
    # a time as the controller sees it
    int64_t ns
    int64_t us
    uint64_t v

cdef struct IocostGroup:
    # a cgroup on a device with a cost model; times in us unless they say otherwise
    uint64_t vtime
    uint64_t done_vtime
    uint64_t cursor         # sector
    int64_t usage_v         # of the device, not yet counted in `usage`
    int64_t generation
    int64_t saved_margin
    int64_t active_period
    int64_t hw_active
    int64_t hw_inuse
    int64_t active
    int64_t inuse
    int64_t debt
    # the last request's cost of the device, the share then, and what both come to
    int64_t asked_absolute
    int64_t asked_share
    int64_t asked_cost
    uint32_t head           # request slots that wait, linked by Request.next
    uint32_t tail
    bint is_active
    bint in_walk
    bint in_delay
    int32_t parent          # -1 for the root
    uint32_t next           # in the device's list of active ones
    uint32_t previous
    int64_t weight
    int64_t last_inuse
    int64_t child_active_sum
    int64_t child_inuse_sum
    int64_t child_adjusted_sum
    int64_t hw_donating
    int64_t hw_after
    uint32_t below          # scratch: the next one down a path, or along a walk
    uint32_t walk_previous
    uint32_t next_donor
    uint32_t version
    int64_t timer_ns        # -1: not set
    int64_t delay
    int64_t delay_at
    int64_t delay_ns
    int64_t activated_at
    int64_t usage
    int64_t usage_delta
    int64_t wait
    int64_t indebt
    int64_t indelay
    int64_t wait_since      # -1: does not wait; likewise the next two
    int64_t indebt_since
    int64_t indelay_since

cdef struct IocostDevice:
    IocostGroup *groups
    int32_t place           # position in Sim.devices, -1 for the one below
    int64_t max_bytes       # beyond which it takes a request in parts
    uint32_t first_active
    int64_t coefficients[6]     # page, sequential, random of reads, then of writes
    int64_t qos[6]          # ppm and us of reads, of writes; least, most vrate in ppm
    int64_t period_us
    int64_t slack_ns
    int64_t vrate_min
    int64_t vrate_max
    int64_t base_rate
    int64_t rate
    int64_t vtime_err
    int64_t margin_least
    int64_t margin_low
    int64_t margin_target
    bint running
    bint touched            # issued, went or completed anything in this period
    bint paused             # no timer runs: all that is active waits for what is in flight
    bint weights_updated
    int64_t period_at
    uint64_t period_at_v
    int64_t period
    int64_t busy_level
    int64_t generation
    int64_t met[2]
    int64_t missed[2]
    int64_t rq_wait_ns
    int64_t forgive_at
    int64_t forgive_rest
    int64_t forgive_usage

cdef struct RequestControls:
    # with io.latency alone; above and below
    int64_t issued_ns[2]    # when it came to it
    int32_t waits_at        # cgroup where it waits for a place in flight, -1: for budget

cdef struct IocostRow:
    # what io.stat shows
    uint32_t cgroup
    int32_t device
    int64_t usage
    int64_t wait
    int64_t indebt
    int64_t indelay


cdef inline IocostGroup *iocost_parent(
    IocostDevice *device, const IocostGroup *group
) noexcept nogil:
    """Return the group above; the group is not the root."""
    return &device.groups[group.parent]


cdef inline int64_t ahead_of(uint64_t a, uint64_t b) noexcept nogil:
    """Return by how much virtual time a is ahead of b."""
    return <int64_t> (a - b)


cdef inline int64_t iocost_of(int64_t absolute, int64_t share) noexcept nogil:
    """Return what a cost of the device is in the time of a group with a share."""
    return mul_div_up(absolute, WHOLE, share)


cdef inline int64_t absolute_of(int64_t cost, int64_t share) noexcept nogil:
    """Return what a group's time is of the device."""
    return mul_div_up(cost, share, WHOLE)
