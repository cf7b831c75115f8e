"""Servers that requests wait for, and who waited for whom.

One type serves as worker, file lock, tag set and device. Whoever leaves is charged
with what everybody waited since the last release: it conserves by construction.

Of each cgroup that waits it is known how many requests do, and by how much they came
late; so a release is one pass over a few bytes a cgroup, and a request that comes or
goes touches its own cgroup alone.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from replay.engine.counting.waits cimport wait_of, wait_row
from replay.engine.state.entries cimport account_at, wait_at
from replay.engine.state.queues cimport (
    MAX_WAITING_CGROUPS,
    Server,
    Wait,
    WaitCell,
    Waiting,
)
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport Account, Request, Sim
from replay.engine.structures.arena cimport arena_add, index_in
from replay.engine.structures.prefetch cimport prefetch


cdef inline void request_prefetch(const Sim *sim, uint32_t slot) noexcept nogil:
    """Fetch ahead a request whose turn comes soon: a long queue is in no cache."""
    cdef const uint8_t *at = <const uint8_t *> request_at(sim, slot)
    prefetch(at)
    prefetch(at + 64)
    prefetch(at + 128)


cdef inline Waiting *lanes_of(const Sim *sim, const Server *server) noexcept nogil:
    """Return a queue's waiting cgroups."""
    return (<Waiting *> sim.waiting.data) + index_in(&sim.waiting, server.lanes)


cdef inline void server_open(
    Server *server, uint32_t capacity, uint8_t resource
) noexcept nogil:
    """Make a server nobody uses."""
    server.capacity = capacity
    server.in_use = 0
    server.head = server.tail = 0
    server.lanes = 0
    server.n_lanes = server.n_waiting = server.room = 0
    server.resource = resource
    server.released_ns = 0


cdef inline uint32_t lane_find(
    const Sim *sim, const Server *server, uint32_t cgroup
) noexcept nogil:
    """Return the place of a cgroup that waits already; else `n_lanes`."""
    cdef const Waiting *lanes = lanes_of(sim, server)
    cdef uint32_t i
    for i in range(server.n_lanes):
        if lanes[i].cgroup == cgroup and lanes[i].count > 0:
            return i
    return server.n_lanes


cdef inline bint lanes_grow(Sim *sim, Server *server) noexcept nogil:
    """Make room for more waiting cgroups; return False if memory ran out."""
    cdef uint32_t room = min(4 * server.room + 1, MAX_WAITING_CGROUPS + 1)
    cdef uint32_t first = arena_add(&sim.waiting)
    cdef uint32_t _i
    for _i in range(1, room):
        arena_add(&sim.waiting)
    if sim.waiting.failed.no_memory:
        return False
    # what it had is left behind: at most a third of what it has now
    memcpy(
        (<Waiting *> sim.waiting.data) + index_in(&sim.waiting, first),
        lanes_of(sim, server),
        server.n_lanes * sizeof(Waiting),
    )
    server.lanes = first
    server.room = <uint8_t> room
    return True


cdef inline uint32_t lane_make(
    Sim *sim, Server *server, uint32_t cgroup
) noexcept nogil:
    """Return a place for a cgroup that begins to wait, the first that is free."""
    cdef uint32_t i = 0
    cdef Waiting *lanes = lanes_of(sim, server)
    while i < server.n_lanes and lanes[i].count > 0:
        i += 1
    if i == server.n_lanes:
        if i == server.room:
            if not lanes_grow(sim, server):
                return 0
            lanes = lanes_of(sim, server)
        server.n_lanes += 1
    lanes[i].cgroup = cgroup
    lanes[i].count = lanes[i].wait = 0
    lanes[i].late_ns = 0
    server.n_waiting += 1
    return i


cdef inline uint32_t lane_of(
    Sim *sim, Server *server, const Request *request
) noexcept nogil:
    """Return the place of a request's cgroup among those that wait; makes it.

    Beyond `MAX_WAITING_CGROUPS` distinct ones they wait as one, called n_cgroups: so
    the work at each release is bounded.
    """
    cdef Account *account = account_at(sim, request.account)
    cdef uint32_t cgroup = request.issuer
    cdef uint32_t place = account.lane
    cdef const Waiting *lanes = lanes_of(sim, server)
    if (
        place < server.n_lanes
        and lanes[place].cgroup == cgroup
        and lanes[place].count > 0
    ):
        return place
    place = lane_find(sim, server, cgroup)
    if place == server.n_lanes and server.n_waiting >= MAX_WAITING_CGROUPS:
        cgroup = sim.n_cgroups
        place = lane_find(sim, server, cgroup)
    if place == server.n_lanes:
        place = lane_make(sim, server, cgroup)
    if place > 0:
        account.lane = <uint8_t> place
    return place


cdef inline void waits_from(
    Sim *sim, Server *server, uint32_t slot, int64_t now
) noexcept nogil:
    """Count a request that begins to wait in a queue."""
    cdef Waiting *lane
    cdef Request *request = request_at(sim, slot)
    if server.n_waiting == 0:
        server.released_ns = now
    request.place = lane_of(sim, server, request)
    lane = lanes_of(sim, server) + request.place
    lane.count += 1
    lane.late_ns += <uint64_t> (now - server.released_ns)


cdef inline bint server_enter(
    Sim *sim, Server *server, uint32_t slot, int64_t now
) noexcept nogil:
    """Take a place and return True, or wait for one."""
    if server.in_use < server.capacity:
        server.in_use += 1
        return True
    waits_from(sim, server, slot, now)
    request_at(sim, slot).next = 0
    if server.tail == 0:
        server.head = slot
    else:
        request_at(sim, server.tail).next = slot
    server.tail = slot
    return False


cdef inline void lanes_charge(
    Sim *sim, const Server *server, WaitCell *row, uint64_t passed_ns
) noexcept nogil:
    """Charge all that wait, in the table's row of who blocked them."""
    cdef Waiting *lane = lanes_of(sim, server)
    cdef WaitCell *cell
    cdef int64_t wait_ns
    cdef uint32_t i
    for i in range(server.n_lanes):
        # a free place adds 0
        wait_ns = <int64_t> (lane[i].count * passed_ns - lane[i].late_ns)
        cell = row + lane[i].cgroup
        cell.wait_ns += wait_ns
        cell.count += <int64_t> lane[i].count & -<int64_t> (wait_ns > 0)
        lane[i].late_ns = 0


cdef inline void lanes_charge_far(
    Sim *sim, const Server *server, uint32_t blocking, uint64_t passed_ns
) noexcept nogil:
    """Charge all that wait where there is no table."""
    cdef Waiting *lane = lanes_of(sim, server)
    cdef Wait *wait
    cdef int64_t wait_ns
    cdef uint32_t i
    for i in range(server.n_lanes):
        wait_ns = <int64_t> (lane[i].count * passed_ns - lane[i].late_ns)
        lane[i].late_ns = 0
        if wait_ns == 0:
            continue
        wait = wait_at(sim, lane[i].wait)
        if lane[i].wait == 0 or wait.blocking != blocking:
            lane[i].wait = wait_of(sim, lane[i].cgroup, blocking, server.resource)
            wait = wait_at(sim, lane[i].wait)
        wait.wait_ns += wait_ns
        wait.count += lane[i].count


cdef inline void server_charge(
    Sim *sim, Server *server, uint32_t blocking, int64_t now
) noexcept nogil:
    """Charge all that wait for what they waited since the last release."""
    cdef uint64_t passed_ns = <uint64_t> (now - server.released_ns)
    if passed_ns == 0:
        return
    server.released_ns = now
    if sim.wait_cells != NULL:
        lanes_charge(sim, server, wait_row(sim, blocking, server.resource), passed_ns)
    else:
        lanes_charge_far(sim, server, blocking, passed_ns)


cdef inline void waits_no_more(
    Sim *sim, Server *server, uint32_t slot
) noexcept nogil:
    """Count a request that has waited; all waits up to now are charged already."""
    cdef Waiting *lane = lanes_of(sim, server) + request_at(sim, slot).place
    lane.count -= 1
    server.n_waiting -= lane.count == 0
    if server.n_waiting == 0:
        server.n_lanes = 0


cdef inline uint32_t server_next(
    Sim *sim, Server *server, uint32_t blocking, int64_t now
) noexcept nogil:
    """Hand a place to the first that waits, of some; return its slot."""
    cdef uint32_t slot = server.head
    server_charge(sim, server, blocking, now)
    server.head = request_at(sim, slot).next
    if server.head == 0:
        server.tail = 0
    waits_no_more(sim, server, slot)
    return slot


cdef inline uint32_t server_leave(
    Sim *sim, Server *server, uint32_t blocking, int64_t now
) noexcept nogil:
    """Give a place back; return the slot that gets it, 0 if none waits."""
    if server.head != 0:
        return server_next(sim, server, blocking, now)
    server.in_use -= 1
    return 0
