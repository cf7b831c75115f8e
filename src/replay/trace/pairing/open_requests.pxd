"""The open requests: slots, the chains they hang in, and the table that finds them.

A slot is found by where it starts (queued), where it starts (issued) or where it ends
(queued: a back merge asks for it). Several slots may have one key: they form a ring,
and the table holds the oldest, its head::

    table entry, 64 bits
      63 ............ 34 | 33 32 | 31 ........ 0
      hash of the key    | kind  | head slot + 1       0 = empty

The home of an entry is the hash part masked; collisions probe the next place, removal
shifts back, so there are no tombstones. At most half of the places are in use. The
hash is keyed by two random words: a hostile trace cannot choose its collisions. No
result depends on them, for nothing walks the table.

A slot remembers the place of its entry, as a hint: whether the entry is still there is
seen at once, for no other entry has its number and kind. The kind is no part of the
hash, so a request that is issued keeps its place.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    /* Multiply and fold: both halves of the product depend on all bits of both words. */
    static inline uint32_t hash_key(uint64_t seed_a, uint64_t seed_b,
                                    uint64_t sector, uint64_t rest) {
        unsigned __int128 product =
            (unsigned __int128)(sector ^ seed_a) * (rest ^ seed_b);
        uint64_t folded = (uint64_t)product ^ (uint64_t)(product >> 64);
        return (uint32_t)(folded ^ folded >> 32);
    }
    /* Sectors wrap: a hostile record may lie at the end of the number range. */
    static inline uint64_t sector_after(uint64_t sector, uint64_t nbytes) {
        return sector + (nbytes >> 9);
    }
    """
    uint32_t hash_key(
        uint64_t seed_a, uint64_t seed_b, uint64_t sector, uint64_t rest
    ) noexcept nogil
    uint64_t sector_after(uint64_t sector, uint64_t nbytes) noexcept nogil


cdef enum:
    NIL = 0xffffffff


# What a key means; the value is stored in the entry.
cdef enum:
    BY_QUEUED_START = 0
    BY_ISSUED_START = 1
    BY_QUEUED_END = 2


cdef enum:
    STATE_QUEUED = 0
    STATE_ISSUED = 1
    STATE_DONE = 2


cdef enum:
    #: A G was seen: it is a request, no longer only a bio.
    MARK_GOT = 1
    #: It was issued before: its row stays where it is when it is issued again.
    MARK_REQUEUED = 2
    #: Its row left the window before it was complete.
    MARK_WRITTEN = 4


cdef enum:
    #: Slots of one key that are compared before the best so far is taken. It bounds
    #: the work for a hostile trace; real ones hold one or two.
    CHAIN_LIMIT = 64
    #: No length of a request.
    ANY_LENGTH = 0x100000000


ctypedef struct Link:
    uint32_t next
    uint32_t prev


ctypedef struct Slot:
    #: Times of the first Q, first D and last C, ns; -1 not seen.
    int64_t queue_ns
    int64_t issue_ns
    int64_t complete_ns
    #: Of the last D, if it is not the first.
    int64_t last_issue_ns
    #: Number of the event that gave the row its time: breaks ties.
    uint64_t order
    uint64_t sector
    #: First sector and bytes of what is not complete yet: the key.
    uint64_t at
    uint64_t cgroup
    uint32_t remaining
    uint32_t nbytes
    uint32_t n_bios
    uint32_t device
    int32_t pid
    uint16_t cpu
    int16_t error
    uint16_t flags
    uint8_t op
    uint8_t state
    uint8_t marks
    #: The pair of devices that passed it down, from 1; 0: it came from nowhere else.
    uint8_t layer
    #: Ring of the slots of one start, ring of the slots of one end.
    Link by_start
    Link by_end
    #: Where its entries were put, if it is the head of the ring: hints.
    uint32_t place_of_start
    uint32_t place_of_end
    #: Neighbours in the list of queued, or of issued and incomplete, requests.
    Link in_list
    #: The next in issue order; the next free slot.
    uint32_t after


ctypedef struct Table:
    uint64_t* places
    #: Number of places - 1, a power of two less one.
    uint32_t mask
    uint32_t n_keys
    uint64_t seed_a
    uint64_t seed_b


cdef inline uint64_t slot_key(const Slot* slot, int kind) noexcept nogil:
    """The sector by which ``slot`` is found under ``kind``."""
    if kind == BY_QUEUED_END:
        return sector_after(slot.at, slot.remaining)
    return slot.at


cdef inline uint64_t table_tag(
    const Table* table, int kind, uint32_t device, uint8_t op, uint64_t sector
) noexcept nogil:
    """Upper half of the entry for a key."""
    cdef uint64_t rest = <uint64_t>device << 8 | <uint64_t>op
    cdef uint64_t hashed = hash_key(table.seed_a, table.seed_b, sector, rest)
    return (hashed & <uint64_t>0xfffffffc | <uint64_t>kind) << 32


cdef inline uint32_t table_home(const Table* table, uint64_t entry) noexcept nogil:
    """Place where probing for ``entry`` begins."""
    return <uint32_t>(entry >> 34) & table.mask


cdef inline uint32_t table_place(
    const Table* table,
    const Slot* slots,
    int kind,
    uint32_t device,
    uint8_t op,
    uint64_t sector,
    uint64_t tag,
) noexcept nogil:
    """Place of a key, or of the empty place that ends its probing."""
    cdef uint32_t place = table_home(table, tag)
    cdef uint64_t entry
    cdef const Slot* slot
    while True:
        entry = table.places[place]
        if entry == 0:
            return place
        if entry >> 32 == tag >> 32:
            slot = &slots[<uint32_t>entry - 1]
            if (
                slot_key(slot, kind) == sector
                and slot.device == device
                and slot.op == op
            ):
                return place
        place = (place + 1) & table.mask


cdef inline uint32_t table_find(
    const Table* table,
    const Slot* slots,
    int kind,
    uint32_t device,
    uint8_t op,
    uint64_t sector,
) noexcept nogil:
    """Oldest slot of a key, or ``NIL``."""
    cdef uint64_t tag = table_tag(table, kind, device, op, sector)
    cdef uint32_t place = table_place(table, slots, kind, device, op, sector, tag)
    cdef uint64_t entry = table.places[place]
    return <uint32_t>entry - 1 if entry else <uint32_t>NIL


cdef inline Link* slot_link(Slot* slot, int kind) noexcept nogil:
    """The ring in which a slot hangs for a kind of key."""
    return &slot.by_end if kind == BY_QUEUED_END else &slot.by_start


cdef inline void slot_at(Slot* slot, int kind, uint32_t place) noexcept nogil:
    """Note where the entry of a ring's head is."""
    if kind == BY_QUEUED_END:
        slot.place_of_end = place
    else:
        slot.place_of_start = place


cdef inline bint table_holds(
    const Table* table, int kind, uint32_t place, uint32_t number
) noexcept nogil:
    """Return True if a place holds a slot's entry, and so the head of its ring."""
    cdef uint64_t entry = table.places[place]
    return <uint32_t>entry == number + 1 and (entry >> 32 & 3) == <uint64_t>kind


cdef inline void table_add(
    Table* table, Slot* slots, int kind, uint32_t number
) noexcept nogil:
    """Hang a slot under its key, as the youngest; there must be room."""
    cdef Slot* slot = &slots[number]
    cdef Link* link = slot_link(slot, kind)
    cdef uint64_t sector = slot_key(slot, kind)
    cdef uint64_t tag = table_tag(table, kind, slot.device, slot.op, sector)
    cdef uint32_t place = table_home(table, tag)
    cdef uint64_t entry = table.places[place]
    cdef uint32_t head
    cdef Link* head_link
    if entry != 0:
        place = table_place(table, slots, kind, slot.device, slot.op, sector, tag)
        entry = table.places[place]
    if entry == 0:
        link.next = link.prev = number
        table.places[place] = tag | <uint64_t>number + 1
        table.n_keys += 1
        slot_at(slot, kind, place)
        return
    head = <uint32_t>entry - 1
    head_link = slot_link(&slots[head], kind)
    link.next = head
    link.prev = head_link.prev
    slot_link(&slots[head_link.prev], kind).next = number
    head_link.prev = number


cdef inline void table_empty_place(
    Table* table, Slot* slots, uint32_t hole
) noexcept nogil:
    """Remove an entry and shift the ones that probed past it back."""
    cdef uint32_t place = hole
    cdef uint32_t n_places = table.mask + 1
    cdef uint32_t home
    cdef uint64_t entry
    while True:
        place = (place + 1) & table.mask
        entry = table.places[place]
        if entry == 0:
            break
        home = table_home(table, entry)
        if ((place + n_places - home) & table.mask) >= (
            (place + n_places - hole) & table.mask
        ):
            table.places[hole] = entry
            slot_at(&slots[<uint32_t>entry - 1], <int>(entry >> 32 & 3), hole)
            hole = place
    table.places[hole] = 0
    table.n_keys -= 1


cdef inline void table_remove(
    Table* table, Slot* slots, int kind, uint32_t number
) noexcept nogil:
    """Take a slot from under its key; it must hang there, its key unchanged."""
    cdef Slot* slot = &slots[number]
    cdef const Link* link = slot_link(slot, kind)
    cdef uint32_t place = (
        slot.place_of_end if kind == BY_QUEUED_END else slot.place_of_start
    )
    cdef bint is_head = table_holds(table, kind, place, number)
    if link.next == number:
        table_empty_place(table, slots, place)
        return
    slot_link(&slots[link.prev], kind).next = link.next
    slot_link(&slots[link.next], kind).prev = link.prev
    if is_head:
        table.places[place] += <uint64_t>link.next - number
        slot_at(&slots[link.next], kind, place)


cdef inline bint table_turn(Table* table, uint32_t place) noexcept nogil:
    """Make an entry of a queued start one of an issued start, where it stands.

    Not if another issued start may have the same key: they must be one ring. The entry
    stays where its probing finds it, for the kind is no part of its home.
    """
    cdef uint64_t turned = table.places[place] | <uint64_t>BY_ISSUED_START << 32
    cdef uint32_t other = table_home(table, turned)
    while table.places[other]:
        if table.places[other] >> 32 == turned >> 32:
            return False
        other = (other + 1) & table.mask
    table.places[place] = turned
    return True


cdef inline uint32_t chain_best(
    const Slot* slots,
    uint32_t head,
    bint oldest_first,
    uint64_t nbytes,
    uint64_t cgroup,
    uint8_t avoid,
    uint8_t forbid,
    uint32_t not_this,
) noexcept nogil:
    """Choose among the slots of one start.

    Parameters
    ----------
    slots : const Slot*
        All slots.
    head : uint32_t
        Oldest slot of the key, or ``NIL``.
    oldest_first : bint
        Which of equals is taken. The newest, as a rule: after a lost record an older
        one waits for ever, and would spoil every later request of its sector. The
        oldest where the sector says nothing (flushes, passthrough).
    nbytes : uint64_t
        Preferred length of what remains (``ANY_LENGTH``: none), before
    cgroup : uint64_t
        the preferred cgroup.
    avoid, forbid : uint8_t
        Marks that count against a slot, more than its cgroup; that exclude it.
    not_this : uint32_t
        A slot that is excluded, or ``NIL``.

    Returns
    -------
    uint32_t
        A slot, or ``NIL``.
    """
    cdef uint32_t best = NIL
    cdef uint32_t number
    cdef uint32_t last
    cdef int best_rank = -1
    cdef int rank
    cdef int _step
    cdef const Slot* slot
    if head == <uint32_t>NIL:
        return NIL
    if slots[head].by_start.next == head:
        # alone, as nearly always
        return NIL if slots[head].marks & forbid or head == not_this else head
    number = head if oldest_first else slots[head].by_start.prev
    last = slots[head].by_start.prev if oldest_first else head
    for _step in range(CHAIN_LIMIT):
        slot = &slots[number]
        if not slot.marks & forbid and number != not_this:
            rank = (
                (4 if slot.remaining == nbytes else 0)
                + (0 if slot.marks & avoid else 2)
                + (1 if slot.cgroup == cgroup else 0)
            )
            if rank > best_rank:
                best = number
                best_rank = rank
                if rank == 7:
                    break
        if number == last:
            break
        number = slot.by_start.next if oldest_first else slot.by_start.prev
    return best


cdef inline uint32_t chain_ending(
    const Slot* slots, uint32_t head, uint64_t cgroup, uint8_t forbid, uint32_t not_this
) noexcept nogil:
    """Choose among the slots of one end: the newest, of the same cgroup if there is one."""
    cdef uint32_t best = NIL
    cdef uint32_t number
    cdef int _step
    cdef const Slot* slot
    if head == <uint32_t>NIL:
        return NIL
    number = slots[head].by_end.prev
    for _step in range(CHAIN_LIMIT):
        slot = &slots[number]
        if not slot.marks & forbid and number != not_this:
            if slot.cgroup == cgroup:
                return number
            if best == <uint32_t>NIL:
                best = number
        if number == head:
            break
        number = slot.by_end.prev
    return best
