"""Layers of a stack: a request that one traced device passed down to another.

dm, md and partitions tell so by a remap (A), which stands ahead of the Q on the device
below::

    A  8:16 <- 253:14      from device and sector to device and sector
    Q  8:16                by whoever submits: dm-crypt's worker, say

What is queued so belongs to who issued it above, and is marked: it is the same I/O once
more.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from replay.trace.blktrace._record cimport Record, load_be64
from replay.trace.pairing.open_requests cimport (
    BY_ISSUED_START,
    BY_QUEUED_START,
    MARK_WRITTEN,
    NIL,
    Slot,
    table_find,
)
from replay.trace.pairing.pair cimport (
    MAX_LAYERS,
    N_RECENT,
    RANGE_LIMIT,
    Layer,
    Pairing,
    Remap,
)

cdef enum:
    #: Of the ``flags`` column: another traced device passed it down.
    FLAG_BELOW = 32


cdef inline uint32_t find_above(
    const Pairing* pair, uint32_t device, uint8_t op, uint64_t sector
) noexcept nogil:
    """The open request of a device that a sector belongs to, or ``NIL``."""
    cdef uint32_t number = table_find(
        &pair.table, pair.slots, BY_QUEUED_START, device, op, sector
    )
    cdef const Slot* slot
    cdef int _step
    if number != <uint32_t>NIL:
        return number
    number = table_find(&pair.table, pair.slots, BY_ISSUED_START, device, op, sector)
    if number != <uint32_t>NIL:
        return number
    # a part of one that was split on its way
    number = pair.queued.tail
    for _step in range(RANGE_LIMIT):
        if number == <uint32_t>NIL:
            break
        slot = &pair.slots[number]
        if (
            slot.device == device
            and slot.op == op
            and slot.at <= sector
            and sector - slot.at < slot.remaining >> 9
        ):
            return number
        number = slot.in_list.prev
    return NIL


cdef inline void on_remap(Pairing* pair, const Record* record, uint8_t op) noexcept nogil:
    """A: remember from where the next bio on this CPU comes."""
    cdef Remap* remap = &pair.remaps[record.cpu & <uint32_t>(N_RECENT - 1)]
    cdef uint64_t devices
    remap.above = NIL
    if record.payload_bytes < 16:
        return
    devices = load_be64(record.payload)
    remap.from_device = <uint32_t>(devices >> 32)
    if remap.from_device == record.device:
        return
    remap.device = record.device
    remap.sector = record.sector
    remap.above = find_above(
        pair, remap.from_device, op, load_be64(record.payload + 8)
    )


cdef inline uint8_t layer_of(
    Pairing* pair, uint32_t above, uint32_t below
) noexcept nogil:
    """Number of a pair of devices, from 1; 0 if there are too many of them."""
    cdef uint32_t number
    for number in range(pair.n_layers):
        if pair.layers[number].above == above and pair.layers[number].below == below:
            return <uint8_t>(number + 1)
    if pair.n_layers == MAX_LAYERS:
        return 0
    pair.layers[pair.n_layers].above = above
    pair.layers[pair.n_layers].below = below
    pair.n_layers += 1
    return <uint8_t>pair.n_layers


cdef inline void take_issuer(
    Pairing* pair, const Record* record, uint32_t number
) noexcept nogil:
    """Let a bio that was just queued be its issuer's, if it was passed down."""
    cdef Remap* remap = &pair.remaps[record.cpu & <uint32_t>(N_RECENT - 1)]
    cdef Slot* slot = &pair.slots[number]
    cdef const Slot* above
    if remap.above == <uint32_t>NIL:
        return
    above = &pair.slots[remap.above]
    if (
        remap.device == record.device
        and remap.sector == record.sector
        and above.device == remap.from_device
        and not above.marks & MARK_WRITTEN
    ):
        slot.cgroup = above.cgroup
        slot.pid = above.pid
        slot.layer = layer_of(pair, above.device, record.device)
        if slot.layer:
            slot.flags |= FLAG_BELOW
    remap.above = NIL


cdef inline void layer_count(Pairing* pair, const Slot* slot) noexcept nogil:
    """Count a row that is written, of a request that was passed down."""
    cdef Layer* layer
    if slot.layer == 0:
        return
    layer = &pair.layers[slot.layer - 1]
    layer.n_requests += 1
    if 0 <= slot.queue_ns <= slot.complete_ns:
        layer.n_done += 1
        layer.took_ns += <uint64_t>(slot.complete_ns - slot.queue_ns)


cdef inline list layers_shown(const Pairing* pair):
    """The layers for Python: above, below, requests, of them done, ns."""
    found = []
    for index in range(pair.n_layers):
        one = pair.layers[index]
        found.append(
            (one.above, one.below, one.n_requests, one.n_done, one.took_ns)
        )
    return found
