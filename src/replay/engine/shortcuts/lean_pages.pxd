"""Pages that requests of the lean path touch, in the order in which they are served.

Where no limit can refuse or delay a charge, touching pages changes nothing but who owns
them and what that costs. A write whose pages are all there when it arrives changes not
even that, unless they are freed before it is served: it is settled at once. The others
stand in order, and are carried out many at a time.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc

from replay.engine.charging.tmpfs cimport SECTORS_PER_PAGE_SHIFT, memory_touch
from replay.engine.counting.charges cimport account_find
from replay.engine.driver.workers cimport memory_payer_of
from replay.engine.pages.owners cimport (
    LEAF_SHIFT,
    WORD_PAGES,
    WORD_SHIFT,
    leaf_get,
    word_at,
)
from replay.engine.pages.tree cimport word_mask
from replay.engine.shortcuts.lean_workers cimport usual_worker
from replay.engine.shortcuts.prefetch_rows cimport prefetch_touch
from replay.engine.state.halting cimport PAGE_WORK, goes_on
from replay.engine.state.lean cimport Lean, LeanTouch
from replay.engine.state.pages cimport File, Leaf
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    FLAG_FAILED,
    OP_DISCARD,
    OP_WRITE,
    OP_WRITE_ZEROES,
    Request,
    Sim,
)
from replay.engine.state.units cimport PAGE_BYTES, PAGE_SHIFT
from replay.engine.structures.arena cimport arena_add, index_in
from replay.engine.structures.heap cimport Event, heap_first, heap_pop, heap_push
from replay.engine.structures.prefetch cimport prefetch

cdef enum:
    # touches that are held before those of the past are carried out
    HELD_TOUCHES = 256
    # rows ahead of which a row's leaf is looked up, and the word of its first page
    # fetched, of files of more leaves than lie in the nearer caches
    LEAF_AHEAD = 32
    WORD_AHEAD = 16
    PREFETCH_LEAVES = 1024


cdef inline void prefetch_pages(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Fetch where rows a little behind row i find their first page."""
    cdef const File *file
    cdef const Leaf *leaf
    cdef uint64_t page, later
    if (
        i + LEAF_AHEAD >= columns.n_rows
        or columns.device[i + WORD_AHEAD] >= sim.n_devices
    ):
        return
    file = &sim.devices[columns.device[i + WORD_AHEAD]].file
    page = columns.sector[i + WORD_AHEAD] >> SECTORS_PER_PAGE_SHIFT
    if page >> LEAF_SHIFT >= file.n_leaf_table:
        return
    # mostly of the same file; if not, a line is fetched in vain
    later = columns.sector[i + LEAF_AHEAD] >> SECTORS_PER_PAGE_SHIFT
    prefetch(file.leaf_table + (later >> LEAF_SHIFT))
    leaf = (<const Leaf *> file.leaves.data) + file.leaf_table[page >> LEAF_SHIFT]
    prefetch(word_at(<Leaf *> leaf, page))


cdef inline LeanTouch *touch_at(const Lean *lean, uint32_t index) noexcept nogil:
    """Return a touch that stands in order."""
    return (<LeanTouch *> lean.touches.data) + index_in(&lean.touches, index)


cdef inline void touch_order(
    Sim *sim,
    const Columns *columns,
    int64_t i,
    uint32_t worker,
    uint32_t memory_payer,
    int64_t done_ns,
) noexcept nogil:
    """Put what a row does to pages at its place in the order."""
    cdef Lean *lean = &sim.lean
    cdef Event event
    cdef LeanTouch *touch
    cdef uint32_t index = lean.free_touch
    if index != 0:
        lean.free_touch = touch_at(lean, index).next
    else:
        index = arena_add(&lean.touches)
    event.when_ns = done_ns
    event.rank = <uint64_t> columns.row[i]
    event.payload = index
    heap_push(&lean.order, event)
    touch = touch_at(lean, index)
    touch.row = columns.row[i]
    touch.sector = columns.sector[i]
    touch.nbytes = columns.nbytes[i]
    touch.issuer = columns.issuer[i]
    touch.account = account_find(sim, columns.issuer[i], columns.device[i])
    touch.worker = worker
    touch.memory_payer = memory_payer
    touch.device = columns.device[i]
    touch.op = <uint8_t> columns.op[i]
    prefetch_touch(sim, touch.account, worker, memory_payer)


cdef inline void touches_run(Sim *sim, int64_t until) noexcept nogil:
    """Touch the pages of all requests that are served by then."""
    cdef Lean *lean = &sim.lean
    cdef Event event
    cdef LeanTouch *touch
    cdef Request request
    request.error = 0
    request.failed = False
    request.next_page = 0
    request.oom_rounds = 0
    while (
        lean.order.length > 0
        and heap_first(&lean.order).when_ns <= until
        and goes_on(sim, PAGE_WORK)
    ):
        event = heap_pop(&lean.order)
        touch = touch_at(lean, event.payload)
        request.row = touch.row
        request.sector = touch.sector
        request.nbytes = touch.nbytes
        request.account = touch.account
        request.issuer = touch.issuer
        request.worker = touch.worker
        request.memory_payer = touch.memory_payer
        request.device = touch.device
        request.op = touch.op
        lean.n_frees -= touch.op != OP_WRITE
        memory_touch(sim, &request, event.when_ns)
        if sim.devices[request.device].file.leaves.length > PREFETCH_LEAVES:
            lean.wide = True
        touch.next = lean.free_touch
        lean.free_touch = event.payload


cdef inline bint pages_present(
    const File *file, uint64_t sector, uint32_t nbytes
) noexcept nogil:
    """Return True if all pages of a write are there."""
    cdef uint64_t first = sector >> SECTORS_PER_PAGE_SHIFT
    cdef uint64_t end = first + (
        ((sector & 7) * 512 + nbytes + PAGE_BYTES - 1) >> PAGE_SHIFT
    )
    cdef uint64_t base = first >> WORD_SHIFT << WORD_SHIFT
    cdef Leaf *leaf
    while base < end:
        leaf = leaf_get(file, base)
        if leaf == NULL or word_mask(first, end, base) & ~word_at(leaf, base).present:
            return False
        base += WORD_PAGES
    return True


cdef inline bint settled_open(Lean *lean, int64_t n_rows) noexcept nogil:
    """Make room for a new batch; return False if memory ran out."""
    cdef int64_t *larger
    lean.n_reopened = 0
    if n_rows > lean.max_settled:
        larger = <int64_t *> realloc(
            lean.settled_ns, <size_t> n_rows * sizeof(int64_t)
        )
        if larger == NULL:
            return False
        lean.settled_ns = larger
        lean.max_settled = n_rows
    return True


cdef inline void settled_reopen(
    Sim *sim, const Columns *columns, int64_t end, int64_t now
) noexcept nogil:
    """Pages may be freed: what was settled and is not served may find them gone.

    Such a write's worker is still the one that its account always has.
    """
    cdef Lean *lean = &sim.lean
    cdef int64_t i
    cdef uint32_t worker
    for i in range(lean.n_reopened, end):
        if lean.settled_ns[i] > now:
            worker = usual_worker(
                sim,
                account_find(sim, columns.issuer[i], columns.device[i]),
                columns.device[i],
            )
            touch_order(
                sim,
                columns,
                i,
                worker,
                memory_payer_of(sim, sim.blkcg[columns.issuer[i]]),
                lean.settled_ns[i],
            )
    lean.n_reopened = end


cdef inline void row_touches(
    Sim *sim,
    const Columns *columns,
    int64_t i,
    uint32_t worker,
    uint32_t memory_payer,
    int64_t now,
    int64_t done_ns,
) noexcept nogil:
    """A row that is served at `done_ns` touches its pages then, in order."""
    cdef Lean *lean = &sim.lean
    if not sim.set.pages_on or columns.nbytes[i] == 0:
        return
    if columns.op[i] == OP_DISCARD or columns.op[i] == OP_WRITE_ZEROES:
        if columns.flags[i] & FLAG_FAILED != 0:
            return
        settled_reopen(sim, columns, i, now)
        lean.n_frees += 1
    elif columns.op[i] != OP_WRITE:
        return
    touch_order(sim, columns, i, worker, memory_payer, done_ns)
    if lean.n_frees > 0 or lean.order.length > HELD_TOUCHES:
        touches_run(sim, now)


cdef inline bint row_settles(
    Sim *sim, const Columns *columns, int64_t i, int64_t done_ns
) noexcept nogil:
    """Return True if a read or write touches no page; remember a write."""
    if (
        columns.op[i] != OP_WRITE
        or not sim.set.pages_on
        or columns.nbytes[i] == 0
    ):
        return True
    if sim.lean.n_frees > 0 or not pages_present(
        &sim.devices[columns.device[i]].file, columns.sector[i], columns.nbytes[i]
    ):
        return False
    sim.lean.settled_ns[i] = done_ns
    return True
