"""Recorded service: what remains of issue to complete without the driver's queueing.

In the trace's order, before any replay; `linear` service stands beside it.
"""

from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t

from replay.engine.state.rows cimport NOT_REPLAYED, Columns
from replay.engine.state.rows cimport NOT_REPLAYED, Columns
from replay.engine.state.sim cimport OP_FLUSH, OP_READ, OP_WRITE
from replay.engine.structures.arena cimport (
    Arena,
    Failed,
    KeyMap,
    arena_add,
    index_in,
    keymap_get,
    keymap_set,
)

cdef enum:
    NS_PER_BYTE_SHIFT = 20
    N_PIPE = 7
    NEAR_SECTORS = 4096 * 8     # blk-iocost.c: LCOEF_RANDIO_PAGES

cdef struct ServiceSettings:
    bint linear
    bint trace_direct_io
    # the driver is the traced one, and has a worker for each cgroup or thread
    bint by_cgroup
    bint by_thread
    bint trace_pass_through     # nothing waited in the traced driver
    bint pass_through           # an empty flush bio is what the replayed device sees
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

cdef struct Service:
    ServiceSettings set
    # by device | traced worker, or by device | issuer where service is linear
    Failed failed
    KeyMap latest_map
    Arena latest            # int64: latest completion, or uint64: end of the last request


cdef inline int64_t *latest_of(
    Service *service, uint64_t key, int64_t first
) noexcept nogil:
    """Return what is kept under a key; it begins as `first`."""
    cdef uint32_t index = keymap_get(&service.latest_map, key)
    if index == 0:
        index = arena_add(&service.latest)
        if index != 0:
            keymap_set(&service.latest_map, key, index)
        (<int64_t *> service.latest.data)[index] = first
    return (<int64_t *> service.latest.data) + index_in(&service.latest, index)


cdef inline bint is_random(
    Service *service, const Columns *columns, int64_t i
) noexcept nogil:
    """Tell whether a read or write is far from where its cgroup's last one ended.

    Source: block/blk-iocost.c:calc_vtime_cost_builtin(), v6.1: more than 4,096 pages.
    """
    cdef uint64_t key = <uint64_t> columns.device[i] << 32 | columns.issuer[i]
    cdef uint64_t sector = columns.sector[i]
    cdef int64_t *cursor = latest_of(service, key, <int64_t> sector)
    cdef uint64_t before = <uint64_t> cursor[0]
    cursor[0] = <int64_t> (sector + (columns.nbytes[i] >> 9))
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


cdef inline int64_t recorded_service(
    Service *service, const Columns *columns, int64_t i
) noexcept nogil:
    """Return the service of a row in ns, -1 if its completion was not seen.

    A direct read or write: complete - issue, the traced worker being busy for the
    submission only. Else complete - max(issue, latest completion before it) on the same
    traced worker or, for another driver, on the same backing file.
    """
    cdef int64_t issue = columns.issue_ns[i]
    cdef int64_t complete = columns.complete_ns[i]
    cdef int op = columns.op[i]
    cdef uint64_t key = <uint64_t> columns.device[i] << 32
    cdef int64_t *latest
    cdef int64_t before = 0
    if issue < 0:
        issue = columns.queue_ns[i]
    if complete < 0:
        return -1
    if service.set.trace_direct_io and (
        op == OP_READ or op == OP_WRITE or service.set.trace_pass_through
    ):
        return max(0, complete - issue)
    if service.set.by_cgroup and op != OP_FLUSH:
        key |= columns.recorded[i]
    elif service.set.by_thread:
        if columns.pid[i] != 0:
            key |= <uint32_t> columns.pid[i]
        else:
            key |= <uint64_t> 1 << 63 | columns.recorded[i]
    latest = latest_of(service, key, 0)
    before = latest[0]
    latest[0] = max(before, complete)
    return max(0, complete - max(issue, before))


cdef inline void service_fill(
    Service *service, const Columns *columns, int64_t *out
) noexcept nogil:
    """Fill in the service of every row, -1 where it is unknown."""
    cdef int64_t i
    for i in range(columns.n_rows):
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
            out[i] = recorded_service(service, columns, i)
