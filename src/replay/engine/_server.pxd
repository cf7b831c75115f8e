"""Servers that requests wait for, and who waited for whom.

One type serves as worker, file lock, tag set and device. Whoever leaves is charged
with what everybody waited since the last release: it conserves by construction.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc

from replay.engine._arena cimport (
    Arena,
    arena_add,
    keymap_get,
    keymap_set,
)
from replay.engine._types cimport (
    MAX_WAITING_CGROUPS,
    N_RESOURCES,
    Request,
    Server,
    Sim,
    Wait,
    Waiting,
)

cdef enum:
    MAX_TABLE_CGROUPS = 256     # 1.5 MB, of which only what is used is ever touched


cdef inline Request *request_at(const Sim *sim, uint32_t slot) noexcept nogil:
    """Return the request in a slot."""
    return (<Request *> sim.requests.data) + slot


cdef inline Waiting *waiting_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return an entry of a queue's waiting cgroups."""
    return (<Waiting *> sim.waiting.data) + index


cdef inline bint waits_open(Sim *sim) noexcept nogil:
    """Make the table of waits where there are few cgroups; tell if there was memory."""
    cdef size_t n = sim.n_cgroups + 1       # and the one called n_cgroups, see below
    if n > MAX_TABLE_CGROUPS:
        return True
    sim.wait_table = <uint32_t *> calloc(n * n * N_RESOURCES, sizeof(uint32_t))
    return sim.wait_table != NULL


cdef inline uint32_t wait_new(
    Sim *sim, uint32_t waiting, uint32_t blocking, uint8_t resource
) noexcept nogil:
    """Make a Wait of two cgroups; return its index."""
    cdef uint32_t index = arena_add(&sim.waits)
    cdef Wait *wait = (<Wait *> sim.waits.data) + index
    wait.waiting = waiting
    wait.blocking = blocking
    wait.resource = resource
    return index


cdef inline uint32_t wait_of(
    Sim *sim, uint32_t waiting, uint32_t blocking, uint8_t resource
) noexcept nogil:
    """Return the index of the Wait of two cgroups on a resource; makes it."""
    cdef uint64_t key
    cdef uint32_t index
    cdef uint32_t *place
    if sim.wait_table != NULL:
        place = sim.wait_table + (
            (<size_t> waiting * (sim.n_cgroups + 1) + blocking) * N_RESOURCES + resource
        )
        if place[0] == 0:
            place[0] = wait_new(sim, waiting, blocking, resource)
        return place[0]
    key = <uint64_t> resource << 56 | <uint64_t> waiting << 28 | blocking
    index = keymap_get(&sim.wait_map, key)
    if index == 0:
        index = wait_new(sim, waiting, blocking, resource)
        if index != 0:
            keymap_set(&sim.wait_map, key, index)
    return index


cdef inline void wait_add(
    Sim *sim,
    uint32_t waiting,
    uint32_t blocking,
    uint8_t resource,
    int64_t wait_ns,
    int64_t count,
) noexcept nogil:
    """Charge a wait to the one that blocked; nothing if nobody waited."""
    cdef Wait *wait
    cdef uint32_t index
    if wait_ns > 0:
        index = wait_of(sim, waiting, blocking, resource)
        wait = (<Wait *> sim.waits.data) + index
        wait.wait_ns += wait_ns
        wait.count += count


cdef inline void server_open(
    Server *server, uint32_t capacity, uint8_t resource
) noexcept nogil:
    """Make a server nobody uses."""
    server.capacity = capacity
    server.in_use = 0
    server.head = server.tail = 0
    server.waiting = 0
    server.n_waiting = 0
    server.resource = resource


cdef inline uint32_t waiting_entry(
    Sim *sim, Server *server, uint32_t cgroup, int64_t now
) noexcept nogil:
    """Return the entry of a cgroup that begins to wait; makes it.

    Beyond `MAX_WAITING_CGROUPS` distinct ones they wait as one, called n_cgroups: so
    the work at each release is bounded.
    """
    cdef uint32_t index = server.waiting
    cdef Waiting *entry
    cdef bint others = False
    while True:
        while index != 0:
            entry = waiting_at(sim, index)
            if entry.cgroup == cgroup:
                return index
            index = entry.next
        if others or server.n_waiting < MAX_WAITING_CGROUPS:
            break
        others = True
        cgroup = sim.n_cgroups
        index = server.waiting
    if sim.free_waiting != 0:
        index = sim.free_waiting
        sim.free_waiting = waiting_at(sim, index).next
    else:
        index = arena_add(&sim.waiting)
    entry = waiting_at(sim, index)
    entry.cgroup = cgroup
    entry.count = 0
    entry.wait = 0
    entry.wait_ns = 0
    entry.updated_ns = now
    entry.next = server.waiting
    server.waiting = index
    server.n_waiting += 1
    return index


cdef inline bint server_enter(
    Sim *sim, Server *server, uint32_t slot, int64_t now
) noexcept nogil:
    """Take a place, or wait for one; tell which."""
    cdef uint32_t index
    cdef Waiting *entry
    cdef Request *request = request_at(sim, slot)
    if server.in_use < server.capacity:
        server.in_use += 1
        return True
    index = waiting_entry(sim, server, request.issuer, now)
    entry = waiting_at(sim, index)
    entry.wait_ns += entry.count * (now - entry.updated_ns)
    entry.updated_ns = now
    entry.count += 1
    request.wait_entry = index
    request.next = 0
    if server.tail == 0:
        server.head = slot
    else:
        request_at(sim, server.tail).next = slot
    server.tail = slot
    return False


cdef inline void server_charge(
    Sim *sim, Server *server, uint32_t blocking, int64_t now
) noexcept nogil:
    """Charge all that wait for what they waited since the last release."""
    cdef uint32_t index = server.waiting
    cdef Waiting *entry
    cdef Wait *wait
    while index != 0:
        entry = waiting_at(sim, index)
        entry.wait_ns += entry.count * (now - entry.updated_ns)
        entry.updated_ns = now
        if entry.wait_ns > 0:
            wait = (<Wait *> sim.waits.data) + entry.wait
            if entry.wait == 0 or wait.blocking != blocking:
                entry.wait = wait_of(sim, entry.cgroup, blocking, server.resource)
                wait = (<Wait *> sim.waits.data) + entry.wait
            wait.wait_ns += entry.wait_ns
            wait.count += entry.count
            entry.wait_ns = 0
        index = entry.next


cdef inline void waiting_remove(
    Sim *sim, Server *server, uint32_t index
) noexcept nogil:
    """Take an entry nobody waits in any more out of its queue."""
    cdef uint32_t at = server.waiting
    if at == index:
        server.waiting = waiting_at(sim, index).next
    else:
        while waiting_at(sim, at).next != index:
            at = waiting_at(sim, at).next
        waiting_at(sim, at).next = waiting_at(sim, index).next
    server.n_waiting -= 1
    waiting_at(sim, index).next = sim.free_waiting
    sim.free_waiting = index


cdef inline uint32_t server_leave(
    Sim *sim, Server *server, uint32_t blocking, int64_t now
) noexcept nogil:
    """Give a place back; return the slot that gets it, 0 if none waits."""
    cdef uint32_t slot = server.head
    cdef Waiting *entry
    cdef Request *request
    if slot == 0:
        server.in_use -= 1
        return 0
    server_charge(sim, server, blocking, now)
    request = request_at(sim, slot)
    server.head = request.next
    if server.head == 0:
        server.tail = 0
    entry = waiting_at(sim, request.wait_entry)
    entry.count -= 1
    if entry.count == 0:
        waiting_remove(sim, server, request.wait_entry)
    return slot
