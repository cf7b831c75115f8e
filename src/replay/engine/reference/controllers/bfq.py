"""A disk that runs bfq, by its weights alone: who of those that wait is served next.

Every cgroup shares what it gets among its own requests, which weigh 40, and its child
cgroups, which weigh ``io.bfq.weight``. Service is counted in sectors. What begins to
wait starts at the virtual time of its cgroup, or where it ended before if that is
later, and would finish as much later as its next request takes at its weight. Of those
that have started the one that finishes first is served, and virtual time moves by what
it takes of the weights of all.

Sources: block/bfq-wf2q.c:bfq_calc_finish(), __bfq_activate_entity(),
__bfq_requeue_entity(), bfq_calc_vtime_jump(), bfq_first_active_entity(),
bfq_bfqq_served(), bfq_ioprio_to_weight(), v6.1; block/bfq-iosched.c:
bfq_serv_to_charge(), v6.1: an asynchronous request costs three times as much only while
no cgroup but the root waits, which moves no share.
"""

from collections import deque
from dataclasses import dataclass, field

from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.queues.server import Server
from replay.engine.reference.state.requests import Request
from replay.engine.setup import Resource, Setup

#: A process of the default priority: (8 - 4) * 10.
OWN_WEIGHT = 40
#: A sector of weight 1 in virtual time: WFQ_SERVICE_SHIFT.
SERVICE_SHIFT = 22


@dataclass
class Entity:
    """An entity that waits at a cgroup: its own requests, or a child."""

    weight: int
    start: int = 0
    finish: int = 0
    #: Sectors of the request that it has served next.
    budget: int = 0
    #: When it was put in last, to tell equal ones apart.
    stamp: int = 0
    waits: bool = False


@dataclass
class BfqGroup:
    """A cgroup on the disk: its requests, and what shares its service."""

    own: Entity
    #: Itself among the children of its parent.
    group: Entity
    parent: int
    children: list[int] = field(default_factory=list)
    queue: deque[Request] = field(default_factory=deque)
    vtime: int = 0


def sectors_of(request: Request) -> int:
    """Return what a request is counted for."""
    return -(-request.nbytes // 512)


class BfqServer(Server):
    """Places of a disk that bfq fills."""

    def __init__(self, setup: Setup, interference: Interference) -> None:
        others = len(setup.parent)
        super().__init__(setup.parallel, Resource.DEVICE, others, interference)
        self.stamps = 0
        self.groups = [
            BfqGroup(Entity(OWN_WEIGHT), Entity(int(weight)), int(parent))
            for parent, weight in zip(setup.parent, setup.bfq_weight, strict=True)
        ]
        for cgroup, group in enumerate(self.groups[1:], 1):
            self.groups[group.parent].children.append(cgroup)

    def enter(self, request: Request, now: int) -> bool:
        """Take a place and return True, or wait for one."""
        self.add(request)
        if self.in_use < self.capacity:
            # nobody waits, so it is the request's own
            self.in_use += 1
            assert self.pick() is request
            return True
        self.wait(request, now)
        return False

    def next_waiting(self) -> Request | None:
        """Take out the one whose turn it is."""
        if not self.queue:
            return None
        request = self.pick()
        self.queue.remove(request)
        return request

    # -- virtual time -----------------------------------------------------------

    def add(self, request: Request) -> None:
        """Let a request wait at its cgroup, and the cgroup at those above."""
        at = request.io_payer
        group = self.groups[at]
        group.queue.append(request)
        entity, schedule = group.own, group
        while not entity.waits:
            entity.waits = True
            entity.start = max(schedule.vtime, entity.finish)
            self.put(entity, sectors_of(request))
            if at == 0:
                return
            entity, at = self.groups[at].group, self.groups[at].parent
            schedule = self.groups[at]

    def put(self, entity: Entity, sectors: int) -> None:
        """Put one in whose start is known."""
        entity.budget = sectors
        entity.finish = entity.start + (sectors << SERVICE_SHIFT) // entity.weight
        self.stamps += 1
        entity.stamp = self.stamps

    def waiting_at(self, schedule: BfqGroup) -> list[tuple[Entity, int]]:
        """Return what waits at a cgroup, with the child that it is, -1 for its own."""
        found = [(self.groups[child].group, child) for child in schedule.children]
        found.append((schedule.own, -1))
        return [(entity, child) for entity, child in found if entity.waits]

    def select(self, schedule: BfqGroup) -> tuple[Entity, int]:
        """Return whose turn it is at a cgroup; time jumps to who starts first."""
        waiting = self.waiting_at(schedule)
        first = min(entity.start for entity, _ in waiting)
        schedule.vtime = max(schedule.vtime, first)
        started = [one for one in waiting if one[0].start <= schedule.vtime]
        return min(started, key=lambda one: (one[0].finish, one[0].stamp))

    def pick(self) -> Request:
        """Take out the request whose turn it is, and count its sectors upwards."""
        at, child = 0, self.select(self.groups[0])[1]
        while child >= 0:
            at, child = child, self.select(self.groups[child])[1]
        group = self.groups[at]
        request = group.queue.popleft()
        left = sectors_of(group.queue[0]) if group.queue else None
        self.serve(group, group.own, sectors_of(request), left)
        while at != 0:
            left = None
            if self.waiting_at(self.groups[at]):
                left = self.select(self.groups[at])[0].budget
            entity, at = self.groups[at].group, self.groups[at].parent
            self.serve(self.groups[at], entity, sectors_of(request), left)
        return request

    def serve(
        self, schedule: BfqGroup, entity: Entity, sectors: int, left: int | None
    ) -> None:
        """Count sectors for one and for all at its cgroup; what is left waits on."""
        service = sectors << SERVICE_SHIFT
        weights = sum(one.weight for one, _ in self.waiting_at(schedule))
        schedule.vtime += service // weights
        entity.start += service // entity.weight
        if left is None:
            entity.waits = False
            entity.finish = entity.start
        else:
            self.put(entity, left)
