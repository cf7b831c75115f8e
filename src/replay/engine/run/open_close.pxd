"""A run's state from its beginning to its end."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from replay.engine.controllers.bfq_open cimport bfq_close
from replay.engine.controllers.iocost_open cimport iocost_close
from replay.engine.controllers.iolatency_open cimport iolatency_close
from replay.engine.counting.latencies cimport MIN_SAMPLES
from replay.engine.counting.timeline cimport timeline_close
from replay.engine.counting.waits cimport waits_open
from replay.engine.memcg.victims cimport victims_close, victims_open
from replay.engine.pages.owners cimport file_close, file_open
from replay.engine.queues.server cimport server_open
from replay.engine.queues.shared_lock cimport shared_close, shared_open
from replay.engine.shortcuts.bulk cimport bulk_close
from replay.engine.shortcuts.flats cimport flats_close
from replay.engine.state.counts cimport Failure, Kill
from replay.engine.state.disk cimport Place
from replay.engine.state.iocost cimport RequestControls
from replay.engine.state.lean cimport lean_close
from replay.engine.state.nested cimport Outer
from replay.engine.state.pages cimport LEAST_GENS, Links, Lrugen, PageLists
from replay.engine.state.queues cimport Wait, Waiting
from replay.engine.state.sim cimport (
    N_IO,
    RESOURCE_DEVICE,
    RESOURCE_LOCK,
    RESOURCE_TAG,
    RESOURCE_WORKER,
    Account,
    Bio,
    Charge,
    Device,
    Done,
    Group,
    LatencyBlock,
    Request,
    Shelf,
    Sim,
    Task,
    Worker,
)
from replay.engine.structures.arena cimport (
    allocate_zeroed,
    arena_close,
    arena_open,
    keymap_close,
    keymap_open,
)
from replay.engine.structures.heap cimport heap_close, heap_open
from replay.engine.structures.histogram cimport (
    Sample,
    histograms_close,
    histograms_open,
)
from replay.engine.structures.log cimport log_close, log_open

cdef inline void device_open(Sim *sim, Device *device) noexcept nogil:
    """Make a device without workers or pages."""
    server_open(&device.tags, sim.set.tags, RESOURCE_TAG)
    server_open(&device.active, 1, RESOURCE_WORKER)
    server_open(&device.lock, 1, RESOURCE_LOCK)
    server_open(&device.device, sim.set.parallel, RESOURCE_DEVICE)
    keymap_open(&device.by_blkcg, 16, &sim.failed)
    keymap_open(&device.by_thread, 16, &sim.failed)
    device.timer_ns = -1
    device.file.window.position = -1
    device.file.owner.memory = sim.set.laid_out_by
    device.file.owner.winner = -1
    shared_open(&device.shared, sim.set.lock_parallel)
    file_open(&device.file, sim.set.cache_on, &sim.failed)


cdef inline bint lists_open(Sim *sim) noexcept nogil:
    """Make the lists of page cache; return False if memory ran out."""
    cdef uint32_t cgroup
    arena_open(&sim.links, sizeof(Links), &sim.failed)
    sim.lists = <PageLists *> calloc(sim.n_cgroups, sizeof(PageLists))
    if sim.lists == NULL or sim.set.mglru == 0:
        return sim.lists != NULL
    sim.lrugens = <Lrugen *> calloc(sim.n_cgroups, sizeof(Lrugen))
    if sim.lrugens == NULL:
        return False
    for cgroup in range(sim.n_cgroups):
        sim.lrugens[cgroup].newest = LEAST_GENS + 1
    return True


cdef inline bint preorder_open(Sim *sim) noexcept nogil:
    """Make room for the order of cgroups; return False if memory ran out."""
    sim.preorder = <uint32_t *> calloc(sim.n_cgroups, 3 * sizeof(uint32_t))
    if sim.preorder == NULL:
        return False
    sim.preorder_at = sim.preorder + sim.n_cgroups
    sim.preorder_end = sim.preorder_at + sim.n_cgroups
    return True


cdef inline bint tables_open(Sim *sim) noexcept nogil:
    """Make the tables by device and cgroup; return False if memory ran out."""
    cdef size_t n = <size_t> sim.n_devices * sim.n_cgroups
    if not sim.set.has_tables:
        return True
    sim.account_table = <uint32_t *> calloc(n, sizeof(uint32_t))
    sim.worker_table = <uint32_t *> calloc(n, sizeof(uint32_t))
    return sim.account_table != NULL and sim.worker_table != NULL


cdef inline bint sim_open(Sim *sim) noexcept nogil:
    """Make the state that the settings and the counts of ids ask for.

    `sim_close` may follow whatever this returns: whether there was memory for it all.
    """
    cdef uint32_t i
    heap_open(&sim.heap, &sim.failed)
    arena_open(&sim.requests, sizeof(Request), &sim.failed)
    arena_open(&sim.outers, sizeof(Outer), &sim.failed)
    arena_open(&sim.places, sizeof(Place), &sim.failed)
    arena_open(&sim.workers, sizeof(Worker), &sim.failed)
    arena_open(&sim.stocked, sizeof(uint32_t), &sim.failed)
    arena_open(&sim.shelves, sizeof(Shelf), &sim.failed)
    arena_open(&sim.bios, sizeof(Bio), &sim.failed)
    arena_open(&sim.waiting, sizeof(Waiting), &sim.failed)
    arena_open(&sim.waits, sizeof(Wait), &sim.failed)
    arena_open(&sim.accounts, sizeof(Account), &sim.failed)
    arena_open(&sim.charges, sizeof(Charge), &sim.failed)
    arena_open(&sim.blocks, sizeof(LatencyBlock), &sim.failed)
    histograms_open(&sim.histograms, &sim.failed)
    arena_open(&sim.failures, sizeof(Failure), &sim.failed)
    arena_open(&sim.kills, sizeof(Kill), &sim.failed)
    arena_open(&sim.done, sizeof(Done), &sim.failed)
    arena_open(&sim.request_controls, sizeof(RequestControls), &sim.failed)
    keymap_open(&sim.wait_map, 64, &sim.failed)
    keymap_open(&sim.account_map, 64, &sim.failed)
    keymap_open(&sim.charge_map, 64, &sim.failed)
    keymap_open(&sim.failure_map, 16, &sim.failed)
    if not tables_open(sim) or not waits_open(sim):
        return False
    if not log_open(&sim.samples, MIN_SAMPLES, sizeof(Sample)):
        return False
    sim.devices = <Device *> calloc(sim.n_devices, sizeof(Device))
    sim.groups = <Group *> allocate_zeroed(sim.n_cgroups, sizeof(Group))
    sim.tasks = <Task *> calloc(sim.n_tasks + 1, sizeof(Task))
    if sim.devices == NULL or sim.groups == NULL or sim.tasks == NULL:
        return False
    if sim.set.backing_device:
        sim.backing_io = <int64_t *> calloc(
            <size_t> sim.n_cgroups * N_IO, sizeof(int64_t)
        )
        if sim.backing_io == NULL:
            return False
    if sim.set.cache_on and not lists_open(sim):
        return False
    if (sim.set.cache_on or sim.n_tasks > 0) and not preorder_open(sim):
        return False
    if not victims_open(sim):
        return False
    for i in range(sim.n_devices):
        device_open(sim, &sim.devices[i])
    return not sim.failed.no_memory


cdef inline void sim_close(Sim *sim) noexcept nogil:
    """Give all memory back."""
    cdef uint32_t i
    cdef int64_t at
    if sim.devices != NULL:
        for i in range(sim.n_devices):
            shared_close(&sim.devices[i].shared)
            keymap_close(&sim.devices[i].by_blkcg)
            keymap_close(&sim.devices[i].by_thread)
            file_close(&sim.devices[i].file)
    if sim.iomax_of != NULL:
        for i in range(sim.n_devices + 1):
            free(sim.iomax_of[i])
    free(sim.iomax_of)
    bfq_close(sim)
    iocost_close(sim)
    iolatency_close(sim)
    free(sim.iomax)
    free(sim.queue_nodes)
    free(sim.devices)
    free(sim.groups)
    free(sim.tasks)
    free(sim.backing_io)
    free(sim.lists)
    free(sim.lrugens)
    free(sim.protection)
    free(sim.preorder)
    victims_close(sim)
    arena_close(&sim.links)
    if sim.streams != NULL:
        for at in range(sim.n_streams):
            free(sim.streams[at].ends.items)
    free(sim.streams)
    heap_close(&sim.heap)
    arena_close(&sim.requests)
    arena_close(&sim.outers)
    arena_close(&sim.places)
    free(sim.disks)
    arena_close(&sim.workers)
    arena_close(&sim.stocked)
    arena_close(&sim.shelves)
    arena_close(&sim.bios)
    arena_close(&sim.waiting)
    arena_close(&sim.waits)
    arena_close(&sim.accounts)
    arena_close(&sim.charges)
    log_close(&sim.samples)
    arena_close(&sim.blocks)
    histograms_close(&sim.histograms)
    arena_close(&sim.failures)
    arena_close(&sim.kills)
    arena_close(&sim.done)
    arena_close(&sim.request_controls)
    timeline_close(sim)
    lean_close(&sim.lean)
    flats_close(sim)
    keymap_close(&sim.wait_map)
    free(sim.wait_cells)
    free(sim.wait_rows)
    keymap_close(&sim.account_map)
    free(sim.account_table)
    free(sim.worker_table)
    bulk_close(sim)
    keymap_close(&sim.charge_map)
    keymap_close(&sim.failure_map)
