"""Which worker serves a command, who pays for it, and the worker's whole life.

Source: drivers/block/loop.c:loop_queue_work(), loop_process_work(),
loop_free_idle_workers(), v6.1; the series' v14 is the same.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.driver.submits cimport only_submits
from replay.engine.queues.server cimport server_open
from replay.engine.state.entries cimport account_at, worker_at
from replay.engine.state.sim cimport (
    OP_FLUSH,
    POLICY_PER_CGROUP,
    POLICY_ROOT,
    RESOURCE_WORKER,
    WORKER_BURST,
    WORKER_IDLES,
    WORKER_STAYS,
    WORKER_THREAD,
    Account,
    Device,
    Request,
    Sim,
    Worker,
    WorkerKind,
)
from replay.engine.structures.arena cimport arena_add, keymap_get, keymap_put

cdef enum:
    # LOOP_IDLE_WORKER_TIMEOUT
    IDLE_SECONDS = 60

cdef inline int64_t idle_ns() noexcept nogil:
    """Return for how long a worker idles before it may be freed."""
    return <int64_t> IDLE_SECONDS * 1000000000


cdef inline uint64_t allocation_draw(uint64_t seed, uint64_t attempt) noexcept nogil:
    """Return the 64-bit draw of an allocation attempt: SplitMix64's output function."""
    cdef uint64_t z = seed + (attempt + 1) * <uint64_t> 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    return z ^ (z >> 31)


cdef inline bint allocation_fails(Sim *sim, int64_t row) noexcept nogil:
    """Return True if making a worker for this row's request fails."""
    cdef int64_t low = 0
    cdef int64_t high = sim.n_fail_rows
    cdef int64_t middle
    cdef uint64_t value = allocation_draw(sim.set.alloc_fail_seed, sim.attempts)
    sim.attempts += 1
    if value >> 1 < sim.set.alloc_fail_threshold:
        return True
    while low < high:
        middle = (low + high) // 2
        if sim.fail_rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low < sim.n_fail_rows and sim.fail_rows[low] == row


cdef inline void worker_counted(Sim *sim) noexcept nogil:
    """One worker more lives."""
    sim.counts.workers_alive += 1
    if sim.counts.workers_alive > sim.counts.workers_peak:
        sim.counts.workers_peak = sim.counts.workers_alive


cdef inline uint32_t worker_add(
    Sim *sim, unsigned int device_index, uint32_t cgroup, WorkerKind kind, int64_t now
) noexcept nogil:
    """Make a worker."""
    cdef Device *device = &sim.devices[device_index]
    cdef uint32_t index = arena_add(&sim.workers)
    cdef Worker *worker = worker_at(sim, index)
    server_open(&worker.server, 1, RESOURCE_WORKER)
    worker.cgroup = cgroup
    worker.index = device.n_workers
    worker.device = <unsigned short> device_index
    worker.kind = <unsigned char> kind
    worker.idle_since_ns = -1
    worker.reaped_ns = -1
    worker.created_ns = now
    if kind == WORKER_IDLES:
        worker.next = device.workers
        device.workers = index
    device.n_workers += 1
    if kind != WORKER_THREAD:
        worker_counted(sim)
    return index


cdef inline uint32_t worker_for(
    Sim *sim, Request *request, uint32_t blkcg, int64_t now
) noexcept nogil:
    """Return the worker of a cgroup, made if need be; 0 if that fails.

    The root's css is not counted. Without an idle list (v1, v2) there is one made for
    each burst: they share an entry, so that memory is bounded.
    """
    cdef Device *device = &sim.devices[request.device]
    cdef uint32_t *place = NULL
    cdef uint32_t index
    if sim.worker_table != NULL:
        place = sim.worker_table + (<size_t> request.device * sim.n_cgroups + blkcg)
        index = place[0]
    else:
        index = keymap_get(&device.by_blkcg, blkcg)
    if index != 0:
        # a worker that was freed keeps its place in the map for the next one
        if worker_at(sim, index).reaped_ns < 0:
            return index
    if allocation_fails(sim, request.row):
        if sim.set.leaks_css and request.memory_payer != 0:
            sim.counts.leaked_refs += 1
        return 0
    sim.counts.css_refs += blkcg != 0
    if sim.set.keeps_idle:
        index = worker_add(sim, request.device, blkcg, WORKER_IDLES, now)
    elif index != 0:
        worker_at(sim, index).reaped_ns = -1
        worker_counted(sim)
        return index
    else:
        index = worker_add(sim, request.device, blkcg, WORKER_BURST, now)
    if place != NULL:
        place[0] = index
    elif index != 0:
        keymap_put(&device.by_blkcg, blkcg, index)
    return index


cdef inline uint32_t root_worker(
    Sim *sim, unsigned int device_index, uint32_t cgroup, int64_t now
) noexcept nogil:
    """Return the one worker of a device that always stays; makes it."""
    cdef Device *device = &sim.devices[device_index]
    if device.root_worker == 0:
        device.root_worker = worker_add(sim, device_index, cgroup, WORKER_STAYS, now)
    return device.root_worker


cdef inline bint has_own_worker(
    const Sim *sim, uint32_t blkcg, unsigned int op
) noexcept nogil:
    """Return True if a block cgroup's requests are served by a worker of its own."""
    return sim.set.policy == POLICY_PER_CGROUP and (
        blkcg != 0 or (sim.set.root_has_worker and op != OP_FLUSH)
    )


cdef inline uint32_t io_payer_of(
    const Sim *sim, uint32_t blkcg, bint submits
) noexcept nogil:
    """Return in whose name a block cgroup's I/O is done.

    With policy `root` (v5.13) only direct I/O, which a worker `submits`, carried the
    block cgroup.
    """
    return 0 if sim.set.policy == POLICY_ROOT and not submits else blkcg


cdef inline uint32_t memory_payer_of(const Sim *sim, uint32_t blkcg) noexcept nogil:
    """Return whom pages are charged to that a block cgroup's requests touch."""
    return 0 if sim.set.policy == POLICY_ROOT else sim.memory_css[blkcg]


cdef inline uint32_t worker_pick(
    Sim *sim, Request *request, int64_t now
) noexcept nogil:
    """Choose the worker of a request, and with it who pays.

    A flush is built by the flush machinery without a bio, so that a loop worker knows no
    cgroup of it; a plain disk has no worker, and counts the empty bio that asked for it.
    Where no worker can be made, the request is issued and charged as root.
    """
    cdef Account *account = account_at(sim, request.account)
    cdef bint submits = only_submits(sim, request)
    cdef uint32_t index = 0
    cdef uint32_t blkcg = sim.blkcg[request.issuer]
    if request.op == OP_FLUSH and not submits:
        blkcg = 0
    request.io_payer = io_payer_of(sim, blkcg, submits)
    request.memory_payer = memory_payer_of(sim, blkcg)
    if has_own_worker(sim, blkcg, request.op):
        index = account.worker
        if index == 0 or worker_at(sim, index).reaped_ns >= 0:
            index = worker_for(sim, request, blkcg, now)
            account.worker = index
        if index == 0:
            request.memory_payer = request.io_payer = 0
    if index == 0:
        index = root_worker(sim, request.device, 0, now)
    worker_at(sim, index).idle_since_ns = -1
    worker_at(sim, index).commands += 1
    request.worker = index
    return index


cdef inline bint worker_idles(Sim *sim, uint32_t index, int64_t now) noexcept nogil:
    """Make a worker idle: its list is empty; return True if a timer must be armed.

    The driver keeps a list of idle workers, oldest first. Here they are looked for when
    the timer runs, once a minute, so that an idle moment costs one store.
    """
    cdef Worker *worker = worker_at(sim, index)
    cdef Device *device = &sim.devices[worker.device]
    if worker.kind != WORKER_IDLES:
        if worker.kind == WORKER_BURST:
            worker.reaped_ns = now
            sim.counts.css_refs -= worker.cgroup != 0
            sim.counts.workers_alive -= 1
        return False
    worker.idle_since_ns = now
    if device.timer_ns >= 0:
        return False
    device.timer_ns = now + idle_ns()
    return True


cdef inline bint workers_reap(Sim *sim, Device *device, int64_t now) noexcept nogil:
    """Free the workers that idled for 60 s; return True if the timer is to go on."""
    cdef uint32_t *link = &device.workers
    cdef Worker *worker
    cdef bint again = False
    while link[0] != 0:
        worker = worker_at(sim, link[0])
        if 0 <= worker.idle_since_ns <= now - idle_ns():
            link[0] = worker.next
            worker.reaped_ns = now
            sim.counts.css_refs -= worker.cgroup != 0
            sim.counts.workers_alive -= 1
            continue
        again = again or worker.idle_since_ns >= 0
        link = &worker.next
    device.timer_ns = now + idle_ns() if again else -1
    return again
