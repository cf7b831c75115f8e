"""Pages that requests of the lean path touch, in the order in which they are served.

Where no limit can refuse or delay a charge, touching pages changes nothing but who owns
them and what that costs. A write whose pages are all there when it arrives changes not
even that, unless they are freed before it is served: it is settled at once. The others
stand in order, and are carried out many at a time.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine._arena cimport arena_add
from replay.engine._cache_types cimport File, Leaf
from replay.engine._heap cimport Event, heap_first, heap_pop, heap_push
from replay.engine._lean_types cimport Lean, LeanTouch
from replay.engine._limits cimport PAGE_BYTES, PAGE_SHIFT
from replay.engine._memory cimport SECTORS_PER_PAGE_SHIFT, memory_touch
from replay.engine._pages cimport WORD_PAGES, WORD_SHIFT, leaf_get, word_at
from replay.engine._tree cimport word_mask
from replay.engine._types cimport (
    OP_DISCARD,
    OP_WRITE,
    OP_WRITE_ZEROES,
    Request,
    Sim,
)

cdef enum:
    # touches that are held before those of the past are carried out
    HELD_TOUCHES = 256
    MIN_SETTLED = 256


cdef inline LeanTouch *touch_at(const Lean *lean, uint32_t index) noexcept nogil:
    """Return a touch that stands in order."""
    return (<LeanTouch *> lean.touches.data) + index


cdef inline void touch_fill(
    LeanTouch *touch, const Request *request, int64_t done_ns
) noexcept nogil:
    """Note what a request will touch."""
    touch.done_ns = done_ns
    touch.row = request.row
    touch.sector = request.sector
    touch.nbytes = request.nbytes
    touch.account = request.account
    touch.issuer = request.issuer
    touch.worker = request.worker
    touch.memory_payer = request.memory_payer
    touch.device = request.device
    touch.op = request.op


cdef inline LeanTouch *touch_order(
    Lean *lean, int64_t done_ns, int64_t row
) noexcept nogil:
    """Make room for a touch at its place in the order."""
    cdef Event event
    cdef uint32_t index = lean.free_touch
    if index != 0:
        lean.free_touch = touch_at(lean, index).next
    else:
        index = arena_add(&lean.touches)
    event.when_ns = done_ns
    event.rank = <uint64_t> row
    event.payload = index
    heap_push(&lean.order, event)
    return touch_at(lean, index)


cdef inline bint pages_present(
    const File *file, uint64_t sector, uint32_t nbytes
) noexcept nogil:
    """Tell whether all pages of a write are there."""
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


cdef inline void settled_shrink(Lean *lean, int64_t now) noexcept nogil:
    """Forget the settled writes that are served; hold more if they are many."""
    cdef LeanTouch *settled = <LeanTouch *> lean.settled.data
    cdef uint32_t kept = 1
    cdef uint32_t i
    for i in range(1, lean.settled.length):
        settled[kept] = settled[i]
        kept += settled[i].done_ns > now
    lean.settled.length = kept
    if kept * 2 > lean.most_settled:
        lean.most_settled *= 2


cdef inline void settled_reopen(Lean *lean, int64_t now) noexcept nogil:
    """Pages are to be freed: what was settled and is not served may find them gone."""
    cdef LeanTouch *settled = <LeanTouch *> lean.settled.data
    cdef uint32_t i
    for i in range(1, lean.settled.length):
        if settled[i].done_ns > now:
            touch_order(lean, settled[i].done_ns, settled[i].row)[0] = settled[i]
    lean.settled.length = 1


cdef inline void touches_run(Sim *sim, int64_t until) noexcept nogil:
    """Touch the pages of all requests that are served by then."""
    cdef Lean *lean = &sim.lean
    cdef Event event
    cdef LeanTouch *touch
    cdef Request request
    request.error = 0
    request.next_page = 0
    request.oom_rounds = 0
    while lean.order.length > 0 and heap_first(&lean.order).when_ns <= until:
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
        touch.next = lean.free_touch
        lean.free_touch = event.payload


cdef inline void lean_touch(
    Sim *sim, const Request *request, int64_t now, int64_t done_ns
) noexcept nogil:
    """A request that is served at `done_ns` touches its pages then."""
    cdef Lean *lean = &sim.lean
    cdef uint32_t index
    if not sim.set.pages_on or request.nbytes == 0:
        return
    if request.op == OP_DISCARD or request.op == OP_WRITE_ZEROES:
        settled_reopen(lean, now)
        lean.n_frees += 1
    elif request.op != OP_WRITE:
        return
    elif lean.n_frees == 0 and pages_present(
        &sim.devices[request.device].file, request.sector, request.nbytes
    ):
        if lean.settled.length > lean.most_settled:
            settled_shrink(lean, now)
        index = arena_add(&lean.settled)
        touch_fill((<LeanTouch *> lean.settled.data) + index, request, done_ns)
        return
    touch_fill(touch_order(lean, done_ns, request.row), request, done_ns)
    if lean.n_frees > 0 or lean.order.length > HELD_TOUCHES:
        touches_run(sim, now)
