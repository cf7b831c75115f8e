"""Latencies on their way into the histograms.

Requests that follow one another are of any cgroups, so their histograms lie anywhere in
memory. Values are written down one behind the other, and counted once there are many:
account by account where those are many too, so that what is touched next to each other
lies near each other. Sums, extremes and buckets do not depend on the order.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from replay.engine.state.entries cimport account_at, block_at
from replay.engine.state.sim cimport (
    N_STAGES,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    Account,
    LatencyBlock,
    Sim,
)
from replay.engine.structures.arena cimport arena_add
from replay.engine.structures.histogram cimport (
    Places,
    Sample,
    histogram_add,
    histogram_count,
    places_of,
)
from replay.engine.structures.log cimport log_grow, log_ordered

cdef enum:
    # samples that are held for few accounts: 16 KiB
    MIN_SAMPLES = 1 << 10


cdef inline bint is_of_device(const Sample *one) noexcept nogil:
    """Return True for the histogram that every request is in: it counts requests."""
    return one.stage == STAGE_DEVICE or one.stage == STAGE_DEVICE_WAITED


cdef inline void sample_count(Sim *sim, const Sample *one) noexcept nogil:
    """Count a value in its histogram; zeros follow from the number of requests."""
    cdef Account *account = account_at(sim, one.account)
    cdef uint32_t index = account.latency[one.op]
    cdef LatencyBlock *block
    if index == 0:
        index = arena_add(&sim.blocks)
        account.latency[one.op] = index
    block = block_at(sim, index)
    block.count += is_of_device(one)
    if one.value_ns > 0:
        histogram_add(&sim.histograms, &block.stages[one.stage], one.value_ns)


cdef inline void samples_count(Sim *sim, const Sample *samples, uint32_t n) noexcept nogil:
    """Count values; nearly all have their place already."""
    cdef const Sample *one
    cdef LatencyBlock *block
    cdef Account *accounts = <Account *> sim.accounts.data
    cdef LatencyBlock *blocks = <LatencyBlock *> sim.blocks.data
    cdef Places places = places_of(&sim.histograms)
    cdef uint32_t i
    for i in range(n):
        one = &samples[i]
        block = &blocks[accounts[one.account].latency[one.op]]
        # what is not there yet has index 0, and there is no place in the scratch entry
        if one.value_ns > 0 and histogram_count(
            &places, block.stages[one.stage], one.value_ns
        ):
            block.count += is_of_device(one)
            continue
        sample_count(sim, one)
        blocks = <LatencyBlock *> sim.blocks.data
        places = places_of(&sim.histograms)


cdef inline void samples_fold(Sim *sim) noexcept nogil:
    """Count all values that are held."""
    cdef const Sample *samples = <const Sample *> log_ordered(
        &sim.samples,
        sizeof(Sample),
        sizeof(int64_t),    # `account` stands behind `value_ns`
        sim.accounts.length,
    )
    samples_count(sim, samples, sim.samples.length)
    sim.samples.length = 0
    log_grow(&sim.samples, sim.accounts.length, sizeof(Sample))


cdef inline void samples_reserve(Sim *sim) noexcept nogil:
    """Make room for the samples of one request."""
    if sim.samples.length + N_STAGES > sim.samples.capacity:
        samples_fold(sim)


cdef inline void sample_add(
    Sim *sim, uint32_t account, uint8_t op, uint8_t stage, int64_t value_ns
) noexcept nogil:
    """Write down a value; there is room."""
    cdef Sample *one = (<Sample *> sim.samples.items) + sim.samples.length
    one.value_ns = value_ns
    one.account = account
    one.op = op
    one.stage = stage
    sim.samples.length += 1
