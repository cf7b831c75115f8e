"""Histograms of the first accounts, in flat ones: few cgroups have many requests.

Of the shortcuts that count many requests at once, each of which is read or write.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from replay.engine.state.entries cimport account_at, block_at
from replay.engine.state.flats cimport (
    FLAT_ACCOUNTS,
    FLAT_DEVICE,
    FLAT_DISPATCH,
    FLAT_NO_WAIT,
    FLAT_PRIOR,
    FLAT_TOTAL,
    N_FLATS,
)
from replay.engine.state.sim cimport (
    OP_READ,
    OP_WRITE,
    SHORTCUT_BULK,
    SHORTCUT_LEAN,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_DISPATCH,
    STAGE_TOTAL,
    Account,
    LatencyBlock,
    Sim,
)
from replay.engine.structures.flat_histogram cimport Flat, flat_tell
from replay.engine.structures.histogram cimport (
    Places,
    histogram_add,
    histogram_count,
    places_of,
)


cdef inline bint flats_open(Sim *sim) noexcept nogil:
    """Make the histograms, if the shortcut has any; return False if memory ran out."""
    if sim.set.shortcut != SHORTCUT_LEAN and sim.set.shortcut != SHORTCUT_BULK:
        return True
    sim.flats = <Flat *> calloc(FLAT_ACCOUNTS * 2 * N_FLATS, sizeof(Flat))
    return sim.flats != NULL


cdef inline void flats_close(Sim *sim) noexcept nogil:
    """Give the memory back."""
    free(sim.flats)


cdef inline Flat *flats_of(const Sim *sim, uint32_t account, int op) noexcept nogil:
    """Return the flat histograms of an account's reads or writes."""
    return sim.flats + (account * 2 + <uint32_t> op) * N_FLATS


cdef inline void flats_tell(Sim *sim) noexcept nogil:
    """Add all flat histograms to the accounts' own."""
    cdef Account *account
    cdef LatencyBlock *block
    cdef Flat *flats
    cdef uint32_t i
    cdef int op
    for i in range(1, min(<uint32_t> FLAT_ACCOUNTS, sim.accounts.length)):
        account = account_at(sim, i)
        for op in range(OP_READ, OP_WRITE + 1):
            if account.latency[op] == 0:
                continue
            block = block_at(sim, account.latency[op])
            flats = flats_of(sim, i, op)
            block.count += flat_tell(
                &flats[FLAT_NO_WAIT], &sim.histograms, &block.stages[STAGE_DEVICE]
            )
            block.count += flat_tell(
                &flats[FLAT_DEVICE],
                &sim.histograms,
                &block.stages[STAGE_DEVICE_WAITED],
            )
            flat_tell(
                &flats[FLAT_PRIOR],
                &sim.histograms,
                &block.stages[sim.devices[account.device].prior_stage],
            )
            flat_tell(
                &flats[FLAT_DISPATCH], &sim.histograms, &block.stages[STAGE_DISPATCH]
            )
            flat_tell(&flats[FLAT_TOTAL], &sim.histograms, &block.stages[STAGE_TOTAL])


cdef inline void time_add(
    Sim *sim, Places *places, LatencyBlock *block, int stage, int64_t value_ns
) noexcept nogil:
    """Count a stage's time; zeros follow from the number of requests."""
    # what is not there yet has index 0, and there is no place in the scratch entry
    if value_ns == 0 or histogram_count(places, block.stages[stage], value_ns):
        return
    histogram_add(&sim.histograms, &block.stages[stage], value_ns)
    places[0] = places_of(&sim.histograms)
