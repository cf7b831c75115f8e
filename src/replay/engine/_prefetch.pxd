"""Fetch ahead what the next rows will touch, where it does not fit the caches.

Rows are known ahead and a row's state hangs on a chain: hash, account, worker and
charge. Each link is asked for a few rows before the next.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine._accounts cimport account_find, account_key
from replay.engine._arena cimport keymap_mix
from replay.engine._types cimport (
    Account,
    Charge,
    Columns,
    Sim,
    Worker,
)

cdef extern from *:
    """
    #define replay_prefetch(pointer) __builtin_prefetch(pointer)
    """
    void prefetch "replay_prefetch"(const void *pointer) noexcept nogil

cdef enum:
    # below so many accounts everything lies in the caches anyhow
    PREFETCH_ACCOUNTS = 2048
    HASH_AHEAD = 24
    ACCOUNT_AHEAD = 18
    LINKS_AHEAD = 12


cdef inline uint32_t account_ahead(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Return the account of a row, 0 if it has none yet."""
    if columns.device[i] >= sim.n_devices or columns.issuer[i] >= sim.n_cgroups:
        return 0
    return account_find(sim, columns.issuer[i], columns.device[i])


cdef inline void prefetch_rows(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Fetch what rows a little behind row i will touch."""
    cdef const Account *account
    cdef uint64_t key
    cdef uint32_t issuer, device
    if (
        sim.accounts.length < PREFETCH_ACCOUNTS
        or i + HASH_AHEAD >= columns.n_rows
    ):
        return
    issuer = columns.issuer[i + HASH_AHEAD]
    device = columns.device[i + HASH_AHEAD]
    if sim.account_table != NULL:
        prefetch(sim.account_table + <size_t> device * sim.n_cgroups + issuer)
    else:
        key = account_key(issuer, device)
        prefetch(&sim.account_map.slots[keymap_mix(key) & sim.account_map.mask])
    if sim.set.in_bulk:
        return
    prefetch(
        (<Account *> sim.accounts.data) + account_ahead(sim, columns, i + ACCOUNT_AHEAD)
    )
    account = (<Account *> sim.accounts.data) + account_ahead(
        sim, columns, i + LINKS_AHEAD
    )
    prefetch((<Worker *> sim.workers.data) + account.worker)
    prefetch((<Charge *> sim.charges.data) + account.charge)
