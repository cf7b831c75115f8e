"""Fetch ahead what the next rows will touch, where it does not fit the caches.

Rows are known ahead and a row's state hangs on a chain: hash, account, worker and
charge. Each link is asked for a few rows before the next.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.counting.charges cimport account_find, account_key
from replay.engine.state.entries cimport account_at, charge_at, worker_at
from replay.engine.state.lean cimport LeanWorker
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    SHORTCUT_BULK,
    SHORTCUT_LEAN,
    Account,
    Charge,
    Sim,
    Worker,
)
from replay.engine.structures.arena cimport keymap_mix
from replay.engine.structures.prefetch cimport prefetch


cdef enum:
    # below so many accounts everything lies in the caches anyhow
    PREFETCH_ACCOUNTS = 2048
    HASH_AHEAD = 48
    ACCOUNT_AHEAD = 36
    LINKS_AHEAD = 24
    ENDS_AHEAD = 12


cdef inline uint32_t account_ahead(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Return the account of a row, 0 if it has none yet."""
    if columns.device[i] >= sim.n_devices or columns.issuer[i] >= sim.n_cgroups:
        return 0
    return account_find(sim, columns.issuer[i], columns.device[i])


cdef inline void prefetch_hash(
    const Sim *sim, uint32_t issuer, uint32_t device
) noexcept nogil:
    """Fetch what tells a row's account."""
    cdef uint64_t key
    if sim.account_table != NULL:
        prefetch(sim.account_table + <size_t> device * sim.n_cgroups + issuer)
    else:
        key = account_key(issuer, device)
        prefetch(&sim.account_map.slots[keymap_mix(key) & sim.account_map.mask])


cdef inline void prefetch_new(
    const Sim *sim, uint32_t issuer, uint32_t device
) noexcept nogil:
    """Fetch what an account's first request asks for."""
    prefetch(sim.blkcg + issuer)
    prefetch(sim.memory_css + issuer)
    if sim.worker_table != NULL:
        prefetch(sim.worker_table + <size_t> device * sim.n_cgroups + issuer)


cdef inline void prefetch_links(const Sim *sim, const Account *account) noexcept nogil:
    """Fetch an account's worker and charge."""
    cdef const Charge *charge
    cdef const Worker *worker
    prefetch(sim.memory_css + account.issuer)
    prefetch(sim.blkcg + account.issuer)
    if sim.set.shortcut == SHORTCUT_LEAN:
        prefetch((<const LeanWorker *> sim.lean.workers.data) + account.worker)
        return
    worker = worker_at(sim, account.worker)
    charge = charge_at(sim, account.charge)
    prefetch(worker)
    prefetch(&worker.commands)
    prefetch(&charge.io[0])


cdef inline void prefetch_ends(const Sim *sim, const Account *account) noexcept nogil:
    """Fetch the ends of a worker's commands, which the lean path remembers."""
    cdef const LeanWorker *worker
    if account.worker < sim.lean.workers.length:
        worker = (<LeanWorker *> sim.lean.workers.data) + account.worker
        prefetch((<const int64_t *> sim.lean.ends.data) + worker.ring)


cdef inline void prefetch_touch(
    const Sim *sim, uint32_t index, uint32_t worker, uint32_t payer
) noexcept nogil:
    """Fetch what an account's first touch of a page changes, some rows later."""
    cdef const Account *account = account_at(sim, index)
    if sim.accounts.length < PREFETCH_ACCOUNTS:
        return
    prefetch(&worker_at(sim, worker).stock_cgroup)
    prefetch(&charge_at(sim, account.charge).charged_bytes)
    prefetch(&sim.groups[payer].shmem)


cdef inline void prefetch_rows(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Fetch what rows a little behind row i will touch."""
    cdef const Account *accounts = <const Account *> sim.accounts.data
    cdef uint32_t account
    if (
        sim.accounts.length < PREFETCH_ACCOUNTS
        or i + HASH_AHEAD >= columns.n_rows
    ):
        return
    prefetch_hash(sim, columns.issuer[i + HASH_AHEAD], columns.device[i + HASH_AHEAD])
    account = account_ahead(sim, columns, i + ACCOUNT_AHEAD)
    if account == 0:
        prefetch_new(
            sim, columns.issuer[i + ACCOUNT_AHEAD], columns.device[i + ACCOUNT_AHEAD]
        )
        return
    if sim.set.shortcut == SHORTCUT_BULK:
        return
    prefetch(&accounts[account])
    prefetch(&accounts[account].worker)
    account = account_ahead(sim, columns, i + LINKS_AHEAD)
    prefetch_links(sim, &accounts[account])
    if sim.set.shortcut == SHORTCUT_LEAN:
        account = account_ahead(sim, columns, i + ENDS_AHEAD)
        prefetch_ends(sim, &accounts[account])
