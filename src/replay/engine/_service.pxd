"""Service times of a trace's rows, before any replay: recorded or linear.

Recorded service is what remains of a request's time in the driver, from its last issue to
its completion, when the traced driver's own queueing is run backwards. Completions say in
which order a worker was through with its requests; so rows are taken in as they were
issued, and each is settled when it completes::

    row ─► open, by completion (heap) ─► settled: out[row]
               │ worker: until when it was busy with another one
               └ file:   the share that each of its writers had of the lock

A request that is open for very long would keep everything behind it waiting: it is settled
once `window` further rows were taken in.
"""

from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t

from replay.common.halting cimport signal_raised
from replay.engine.state.rows cimport NOT_REPLAYED, Columns
from replay.engine.state.sim cimport (
    OP_DISCARD,
    OP_FLUSH,
    OP_READ,
    OP_WRITE,
    OP_WRITE_ZEROES,
)
from replay.engine.structures.arena cimport (
    Arena,
    Failed,
    KeyMap,
    arena_add,
    index_in,
    keymap_get,
    keymap_set,
)
from replay.engine.structures.heap cimport (
    Event,
    Heap,
    heap_first,
    heap_pop,
    heap_push,
)

cdef enum:
    NS_PER_BYTE_SHIFT = 20
    N_PIPE = 7
    NEAR_SECTORS = 4096 * 8     # blk-iocost.c: LCOEF_RANDIO_PAGES
    SHARE_SHIFT = 8             # a file's share time runs in 2**-8 ns
    ROWS_AT_ONCE = 1 << 16      # between two looks at signals: some 20 ms

cdef struct ServiceSettings:
    bint linear
    bint trace_direct_io
    bint by_cgroup              # the traced driver had a worker for each cgroup
    bint by_thread              # or served in the caller's thread
    bint trace_pass_through     # nothing waited in the traced driver
    bint pass_through           # an empty flush bio is what the replayed device sees
    const unsigned char *loops  # whether each device is one: no other's driver waits
    # what writers waited for the file's lock is taken out, too: they had it by turns,
    # page by page, or one after the other
    bint lock_shared
    bint lock_exclusive
    int64_t processors          # that reading workers shared, 0 if they did not
    int64_t window              # a power of two
    # these six lie behind one another, as those of a disk do
    int64_t read_base_ns
    int64_t read_ns_per_byte    # in 2**-20 ns
    int64_t read_random_ns
    int64_t write_base_ns
    int64_t write_ns_per_byte
    int64_t write_random_ns
    uint32_t n_disks            # devices, or 0: none of them is a plain disk
    const int8_t *scheduler     # of each of them; see Setup.disk_scheduler
    const int64_t *pipe         # of each; see Setup.disk_pipe

cdef struct TracedFile:
    # a backing file's lock
    int64_t share_time          # 2**-8 ns that each of its writers had so far
    int64_t updated_ns
    int64_t ended_ns            # its last writer
    uint32_t n_writers          # workers with a write open

cdef struct TracedProcessors:
    # a recorded machine's, which its reading workers shared
    int64_t share_time          # 2**-8 ns that each of them had so far
    int64_t updated_ns
    int64_t n_workers           # with a read open

cdef struct TracedWorker:
    int64_t ended_ns            # its last completion
    int64_t ended_share
    int64_t ended_turn          # of the processors' share
    uint32_t n_writes           # open
    uint32_t n_reads

cdef struct OpenRow:
    int64_t *out
    int64_t number              # of the row, as it was taken in
    int64_t issue_ns
    int64_t complete_ns
    int64_t issue_share
    int64_t issue_turn
    uint32_t worker
    uint32_t file
    uint32_t next_free
    bint writes                 # with the file's lock

cdef struct Service:
    ServiceSettings set
    Failed failed
    # where an issuer's last request ended, by device | issuer: linear service
    KeyMap cursor_map
    Arena cursors               # uint64_t
    KeyMap worker_map           # by device | who
    Arena workers               # TracedWorker
    KeyMap file_map             # by device
    Arena files                 # TracedFile
    TracedProcessors processors
    Arena rows                  # OpenRow
    uint32_t free_row
    Heap open                   # by completion, then number
    uint8_t *is_open            # by number, of the last `window` rows
    int64_t n_rows
    int64_t n_settled           # rows from the first on that are
    int64_t now
    int64_t rows_left           # before the next look at signals
    bint halted                 # a signal's handler raised an exception


cdef inline bint is_random(
    Service *service, const Columns *columns, int64_t i
) noexcept nogil:
    """Return True if a read or write is far from where its cgroup's last one ended.

    Source: block/blk-iocost.c:calc_vtime_cost_builtin(), v6.1: more than 4,096 pages.
    """
    cdef uint64_t key = <uint64_t> columns.device[i] << 32 | columns.issuer[i]
    cdef uint64_t sector = columns.sector[i]
    cdef uint64_t before = sector
    cdef uint32_t index = keymap_get(&service.cursor_map, key)
    if index == 0:
        index = arena_add(&service.cursors)
        if index != 0:
            keymap_set(&service.cursor_map, key, index)
    else:
        before = (<uint64_t *> service.cursors.data)[index]
    (<uint64_t *> service.cursors.data)[index] = sector + (columns.nbytes[i] >> 9)
    return (sector - before if sector > before else before - sector) > NEAR_SECTORS


cdef inline bint is_disk_row(
    const ServiceSettings *set, const Columns *columns, int64_t i
) noexcept nogil:
    """Return True if the row is of a plain disk whose queue is replayed."""
    return columns.device[i] < set.n_disks and set.scheduler[columns.device[i]] >= 0


cdef inline int64_t linear_service(
    Service *service, const Columns *columns, int64_t i
) noexcept nogil:
    """Return a row's base, rate and, if it is random, seek, ns, rounded down."""
    cdef const ServiceSettings *set = &service.set
    cdef const int64_t *pipe = &set.read_base_ns
    cdef int64_t other = set.write_base_ns
    cdef int op = columns.op[i]
    cdef uint32_t nbytes = columns.nbytes[i]
    cdef int64_t base, seek
    if is_disk_row(set, columns, i):
        pipe = set.pipe + N_PIPE * <size_t> columns.device[i]
        other = pipe[N_PIPE - 1]
    if op != OP_READ and op != OP_WRITE:
        return other    # moves no data, however many bytes it is about
    seek = pipe[2] | pipe[5]
    if op != OP_READ:
        pipe += N_PIPE // 2
    base = pipe[0] + (pipe[1] * nbytes >> NS_PER_BYTE_SHIFT)
    if (
        seek != 0
        and nbytes > 0
        and is_random(service, columns, i)
    ):
        base += pipe[2]
    return base


# -- recorded service -----------------------------------------------------------------


cdef inline TracedWorker *worker_at(const Service *service, uint32_t index) noexcept nogil:
    """Return a worker of the traced driver."""
    return (<TracedWorker *> service.workers.data) + index


cdef inline TracedFile *file_at(const Service *service, uint32_t index) noexcept nogil:
    """Return a backing file."""
    return (<TracedFile *> service.files.data) + index


cdef inline OpenRow *row_at(const Service *service, uint32_t index) noexcept nogil:
    """Return an open row."""
    return (<OpenRow *> service.rows.data) + index


cdef inline uint32_t index_of(KeyMap *map, Arena *arena, uint64_t key) noexcept nogil:
    """Return the index that a key has in an arena; makes a zeroed entry."""
    cdef uint32_t index = keymap_get(map, key)
    if index == 0:
        index = arena_add(arena)
        if index != 0:
            keymap_set(map, key, index)
    return index


cdef inline uint32_t worker_of(
    Service *service, const Columns *columns, int64_t i
) noexcept nogil:
    """Return the worker that served a row when it was recorded."""
    cdef uint64_t key = <uint64_t> columns.device[i] << 32
    if service.set.by_cgroup and columns.op[i] != OP_FLUSH:
        key |= columns.recorded[i]
    elif service.set.by_thread:
        if columns.pid[i] != 0:
            key |= <uint32_t> columns.pid[i]
        else:
            key |= <uint64_t> 1 << 63 | columns.recorded[i]
    return index_of(&service.worker_map, &service.workers, key)


cdef inline void file_advance(TracedFile *file, int64_t now) noexcept nogil:
    """Bring the time that each writer had up to now; an earlier time changes nothing."""
    if now <= file.updated_ns:
        return
    if file.n_writers > 0:
        file.share_time += (now - file.updated_ns << SHARE_SHIFT) // file.n_writers
    file.updated_ns = now


cdef inline void processors_advance(Service *service, int64_t now) noexcept nogil:
    """Bring the time that each reading worker had of the processors up to now."""
    cdef TracedProcessors *shared = &service.processors
    cdef int64_t used = min(service.set.processors, shared.n_workers)
    cdef int64_t elapsed
    if now <= shared.updated_ns:
        return
    if used > 0:
        # of at most 2**61; times `used` first, it would not fit 64 bits
        elapsed = now - shared.updated_ns << SHARE_SHIFT
        shared.share_time += (
            elapsed // shared.n_workers * used
            + elapsed % shared.n_workers * used // shared.n_workers
        )
    shared.updated_ns = now


cdef inline void settle_first(Service *service) noexcept nogil:
    """Settle the open row that completed first."""
    cdef uint32_t index = heap_pop(&service.open).payload
    cdef OpenRow *row = row_at(service, index)
    cdef TracedWorker *worker = worker_at(service, row.worker)
    cdef TracedFile *file = file_at(service, row.file)
    cdef int64_t begin_ns = max(row.issue_ns, worker.ended_ns)
    cdef int64_t took_ns
    if row.writes and service.set.lock_exclusive:
        begin_ns = max(begin_ns, file.ended_ns)
        file.ended_ns = row.complete_ns
    took_ns = row.complete_ns - begin_ns
    if row.writes and service.set.lock_shared:
        file_advance(file, row.complete_ns)
        took_ns = (
            file.share_time - max(row.issue_share, worker.ended_share)
        ) >> SHARE_SHIFT
        worker.n_writes -= 1
        if worker.n_writes == 0:
            file.n_writers -= 1
    if not row.writes and service.set.processors > 0:
        processors_advance(service, row.complete_ns)
        took_ns = (
            service.processors.share_time - max(row.issue_turn, worker.ended_turn)
        ) >> SHARE_SHIFT
        worker.n_reads -= 1
        service.processors.n_workers -= worker.n_reads == 0
    worker.ended_ns = row.complete_ns
    worker.ended_share = file.share_time
    worker.ended_turn = service.processors.share_time
    # what took time did not come for nothing, however the clocks of processors differ
    row.out[0] = max(took_ns, <int64_t> (row.complete_ns > row.issue_ns))
    service.is_open[row.number & service.set.window - 1] = False
    row.next_free = service.free_row
    service.free_row = index


cdef inline bint rows_go_on(Service *service) noexcept nogil:
    """Count a row that is taken in or settled; return False if a signal ends the work.

    What is left half done does not matter: nobody goes on with it.
    """
    service.rows_left -= 1
    if service.rows_left < 0:
        service.rows_left = ROWS_AT_ONCE
        service.halted = service.halted or signal_raised()
    return not service.halted


cdef inline void settle_until(Service *service, int64_t now) noexcept nogil:
    """Settle what completed by a time."""
    while (
        service.open.length > 0
        and heap_first(&service.open).when_ns <= now
        and rows_go_on(service)
    ):
        settle_first(service)


cdef inline void row_open(
    Service *service, const Columns *columns, int64_t i, int64_t issue_ns, int64_t *out
) noexcept nogil:
    """Take a row in that completed; the time is that of its issue."""
    cdef uint32_t index = service.free_row
    cdef int op = columns.op[i]
    cdef OpenRow *row
    cdef TracedWorker *worker
    cdef TracedFile *file
    cdef Event event
    if index != 0:
        service.free_row = row_at(service, index).next_free
    else:
        index = arena_add(&service.rows)
    row = row_at(service, index)
    row.out = out
    row.number = service.n_rows
    row.issue_ns = issue_ns
    row.complete_ns = columns.complete_ns[i]
    row.worker = worker_of(service, columns, i)
    row.file = index_of(&service.file_map, &service.files, columns.device[i])
    row.writes = (
        op == OP_WRITE or op == OP_DISCARD or op == OP_WRITE_ZEROES
    ) and not service.set.trace_direct_io
    worker = worker_at(service, row.worker)
    file = file_at(service, row.file)
    if row.writes and service.set.lock_shared:
        file_advance(file, service.now)
        file.n_writers += worker.n_writes == 0
        worker.n_writes += 1
    if not row.writes and service.set.processors > 0:
        processors_advance(service, service.now)
        service.processors.n_workers += worker.n_reads == 0
        worker.n_reads += 1
    row.issue_share = file.share_time
    row.issue_turn = service.processors.share_time
    service.is_open[row.number & service.set.window - 1] = True
    event.when_ns = row.complete_ns
    event.rank = <uint64_t> row.number
    event.payload = index
    heap_push(&service.open, event)


cdef inline void recorded_row(
    Service *service, const Columns *columns, int64_t i, int64_t *out
) noexcept nogil:
    """Take a row in; what is not known is -1.

    A direct read or write, and all of what is no loop device, is settled at once: the
    worker was busy for its submission only, so it took from its issue to its completion.
    """
    cdef int64_t issue = columns.issue_ns[i]
    cdef int64_t complete = columns.complete_ns[i]
    cdef int op = columns.op[i]
    if issue < 0:
        issue = columns.queue_ns[i]
    if complete < 0:
        out[0] = -1
    elif service.set.trace_direct_io and (
        op == OP_READ
        or op == OP_WRITE
        or service.set.trace_pass_through
        or not service.set.loops[columns.device[i]]
    ):
        out[0] = max(0, complete - issue)
    else:
        service.now = max(service.now, issue)
        settle_until(service, service.now)
        row_open(service, columns, i, issue, out)


cdef inline void service_fill(
    Service *service, const Columns *columns, int64_t *out
) noexcept nogil:
    """Take rows in; the service of each is filled in once it is known."""
    cdef int64_t i
    for i in range(columns.n_rows):
        if not rows_go_on(service):
            return
        # the window's oldest row makes room for this one
        while (
            service.is_open[service.n_rows & service.set.window - 1]
            and service.open.length > 0
            and rows_go_on(service)
        ):
            settle_first(service)
        if columns.device[i] == NOT_REPLAYED or (
            columns.op[i] == OP_FLUSH
            and columns.n_bios[i] > 0
            and columns.issue_ns[i] < 0
            and not service.set.pass_through
        ):
            out[i] = -1
        elif service.set.linear or is_disk_row(&service.set, columns, i):
            out[i] = linear_service(service, columns, i)
        else:
            recorded_row(service, columns, i, &out[i])
        service.n_rows += 1


cdef inline void service_end(Service *service) noexcept nogil:
    """Settle all rows that are open."""
    while service.open.length > 0 and rows_go_on(service):
        settle_first(service)


cdef inline int64_t service_settled(Service *service) noexcept nogil:
    """Return how many rows, from the first on, are settled."""
    service.n_settled = max(service.n_settled, service.n_rows - service.set.window)
    while (
        service.n_settled < service.n_rows
        and not service.is_open[service.n_settled & service.set.window - 1]
    ):
        service.n_settled += 1
    return service.n_settled
