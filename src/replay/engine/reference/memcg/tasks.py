"""Memory counters of cgroups, their tasks, the OOM killer and the reaper.

Sources: mm/page_counter.c, mm/oom_kill.c:select_bad_process(), oom_reap_task(), v6.1.
"""

from dataclasses import dataclass

import numpy as np

from replay.engine.reference.state.requests import Bio, Request
from replay.engine.setup import NO_LIMIT, PAGE_BYTES, Setup

#: The reaper comes so long after a kill. Source: mm/oom_kill.c, OOM_REAPER_DELAY.
REAPER_NS = 2 * 10**9
#: OOM_SCORE_ADJ_MIN: never killed.
NEVER = -1000
ROOT = 0


@dataclass
class Group:
    """The counters of one cgroup; ``usage`` and ``peak`` with its descendants."""

    usage: int = 0
    peak: int = 0
    shmem: int = 0
    #: Page cache of disk files, own.
    file: int = 0
    kernel_bytes: int = 0
    rss: int = 0
    high_events: int = 0
    max_events: int = 0
    oom: int = 0
    oom_kill: int = 0
    oom_group_kill: int = 0
    low_events: int = 0


@dataclass
class Task:
    """A process of a cgroup that the OOM killer may choose."""

    cgroup: int
    rss: int
    requests_left: int
    kernel: bool
    #: ``oom_score_adj``.
    adj: int = 0
    started: bool = False
    ended: bool = False
    killed_ns: int = -1
    reap_ns: int = -1
    in_flight_bytes: int = 0
    resident: int = 0
    #: Of its last request, and where and when one more part of that would begin.
    bio: Bio | None = None
    bio_goes_on: tuple[int, int, int, int] = (-1, -1, -1, -1)

    def killable(self) -> bool:
        """Return True if the OOM killer may choose it."""
        return self.lives() and not self.kernel and self.adj != NEVER

    def score(self, total_pages: int) -> int:
        """Return its badness: rss, and a share of the limit by ``oom_score_adj``.

        Source: mm/oom_kill.c:oom_badness(), v6.1.
        """
        return self.rss + self.adj * (total_pages // 1000)

    def lives(self) -> bool:
        """Return True if it has begun and neither ended nor been killed."""
        return self.started and not self.ended and self.killed_ns < 0


@dataclass
class Kill:
    """One OOM kill."""

    time_ns: int
    limit_cgroup: int
    victim_cgroup: int
    task: int
    usage_pages: int
    row: int


class Tasks:
    """Counters of every cgroup, and the tasks whose memory they hold."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.parent = [int(one) for one in setup.parent]
        self.limit = [int(one) for one in setup.memory_max]
        self.groups = [Group() for _ in self.parent]
        self.kills: list[Kill] = []
        n_tasks = len(setup.task_cgroup)
        self.oom_group = list(setup.oom_group) or [False] * len(self.parent)
        self.tasks = [
            Task(int(cgroup), int(rss), int(requests), bool(kernel), int(adj))
            for cgroup, rss, requests, kernel, adj in zip(
                setup.task_cgroup,
                setup.task_rss,
                setup.task_requests,
                setup.task_kernel,
                setup.task_adj if len(setup.task_adj) else [0] * n_tasks,
                strict=True,
            )
        ]
        for index in np.flatnonzero(setup.task_always).tolist():
            # one more than there are: it never ends
            self.tasks[index].requests_left += 1
            self._begin(self.tasks[index])

    # -- counters ---------------------------------------------------------------

    def chain(self, cgroup: int) -> list[int]:
        """Return a cgroup and its ancestors, the root last."""
        chain = []
        while cgroup >= 0:
            chain.append(cgroup)
            cgroup = self.parent[cgroup]
        return chain

    def exceeded(self, cgroup: int, pages: int) -> int | None:
        """Return the first cgroup on the way up whose limit has no room for pages."""
        for one in self.chain(cgroup):
            limit = self.limit[one]
            if limit != NO_LIMIT and self.groups[one].usage + pages > limit:
                return one
        return None

    def count(self, cgroup: int, pages: int) -> None:
        """Add pages (or take them away) here and in every ancestor."""
        for one in self.chain(cgroup):
            group = self.groups[one]
            group.usage += pages
            group.peak = max(group.peak, group.usage)

    def count_events(self, cgroup: int, max_events: int, oom: int) -> None:
        """Count a failing round at a limit and in every ancestor but the root."""
        for one in self.chain(cgroup)[:-1]:
            self.groups[one].max_events += max_events
            self.groups[one].oom += oom

    # -- tasks and kills --------------------------------------------------------

    def task_arrives(self, index: int, request: Request, queue_ns: int) -> None:
        """Queue a task's request: with the first one it begins.

        What follows the task's last request without a gap, and was queued with it, is
        the next part of a bio that the block layer split.
        Source: block/blk-merge.c:bio_submit_split(), block/bio.c:bio_chain(), v6.1.
        """
        task = self.tasks[index]
        start = (request.device, request.op, queue_ns, request.sector)
        if not (task.bio is not None and queue_ns >= 0 and task.bio_goes_on == start):
            task.bio = Bio()
        end = request.sector + -(-request.nbytes // 512)
        task.bio_goes_on = (request.device, request.op, queue_ns, end)
        task.bio.in_flight += 1
        task.bio.nbytes += request.nbytes
        request.bio = task.bio
        nbytes = request.nbytes
        if not task.started:
            self._begin(task)
        task.in_flight_bytes += nbytes

    def task_completes(self, index: int, request: Request) -> None:
        """End a task's request: give back what only it kept in memory.

        The pages of a split bio stay until its last part ends.
        """
        task, bio = self.tasks[index], request.bio
        assert bio is not None
        bio.in_flight -= 1
        if not bio.in_flight:
            task.in_flight_bytes -= bio.nbytes
            if task.bio is bio:
                task.bio = None
        task.requests_left -= 1
        if task.killed_ns >= 0:
            if task.in_flight_bytes == 0:
                task.reap_ns = -1  # it could exit
            if task.reap_ns < 0:
                pinned = ceil_pages(task.in_flight_bytes)
                self._shrink(task, min(task.resident, pinned))
        elif task.requests_left == 0:
            task.ended = True
            self._shrink(task, 0)

    def task_skips(self, index: int) -> None:
        """Skip a request that is not replayed."""
        task = self.tasks[index]
        task.requests_left -= 1
        if task.requests_left == 0 and task.lives():
            task.ended = True
            self._shrink(task, 0)

    def _begin(self, task: Task) -> None:
        """Let a task live from now on: its memory counts."""
        task.started = True
        task.resident = task.rss
        self.count(task.cgroup, task.rss)
        self.groups[task.cgroup].rss += task.rss

    def _shrink(self, task: Task, resident: int) -> None:
        self.count(task.cgroup, resident - task.resident)
        self.groups[task.cgroup].rss += resident - task.resident
        task.resident = resident

    def stopped(self, index: int, queue_ns: int) -> bool:
        """Return True if a request queued now is one that a kill stopped."""
        task = self.tasks[index]
        if not task.kernel:
            return 0 <= task.killed_ns < queue_ns
        killed = [
            one.killed_ns
            for one in self.tasks
            if one.cgroup == task.cgroup and one.killed_ns >= 0
        ]
        alive = any(
            one.lives()
            for one in self.tasks
            if one.cgroup == task.cgroup and not one.kernel
        )
        return bool(killed) and not alive and max(killed) < queue_ns

    def oom_kill(self, over: int, request: Request, now: int) -> bool:
        """Kill the task of the highest score below a limit, and what goes with it.

        Of equals the last. The highest cgroup from its own up to the limit's that has
        ``memory.oom.group`` loses all its tasks; the victim counts twice then.

        Returns
        -------
        bool
            Whether there was one.
        """
        victim, most = None, 0
        for index, task in enumerate(self.tasks):
            if not task.killable() or over not in self.chain(task.cgroup):
                continue
            score = task.score(self.limit[over])
            if victim is None or score >= most:
                victim, most = index, score
        if victim is None:
            return False
        usage = self.groups[over].usage
        group = None
        for one in self.chain(self.tasks[victim].cgroup):
            if self.oom_group[one] and one != ROOT:
                group = one
            if one == over:
                break
        self._kill(victim, over, usage, request, now)
        if group is None:
            return True
        for one in self.chain(group)[:-1]:
            self.groups[one].oom_group_kill += 1
        for one in self.chain(self.tasks[victim].cgroup)[:-1]:
            self.groups[one].oom_kill += 1
        for index, task in enumerate(self.tasks):
            if task.killable() and group in self.chain(task.cgroup):
                self._kill(index, over, usage, request, now)
        return True

    def _kill(
        self, index: int, over: int, usage: int, request: Request, now: int
    ) -> None:
        """Kill one task.

        One that waits for its own I/O cannot exit: the reaper gives its pages back 2 s
        later, but those that its requests in flight pin.
        """
        task = self.tasks[index]
        task.killed_ns = now
        self.kills.append(Kill(now, over, task.cgroup, index, usage, request.row))
        for one in self.chain(task.cgroup)[:-1]:
            self.groups[one].oom_kill += 1
        if task.in_flight_bytes:
            task.reap_ns = now + REAPER_NS
        else:
            self._shrink(task, 0)

    def reap(self, now: int) -> None:
        """Give back what killed tasks held, once the reaper has come to them."""
        for task in self.tasks:
            if 0 <= task.reap_ns <= now:
                task.reap_ns = -1
                self._shrink(task, min(task.resident, ceil_pages(task.in_flight_bytes)))

    def dying(self, over: int) -> int | None:
        """Return when a task below a limit that is killed gives its memory back."""
        waits = [
            task.reap_ns
            for task in self.tasks
            if task.reap_ns >= 0 and over in self.chain(task.cgroup)
        ]
        return min(waits, default=None)


def ceil_pages(nbytes: int) -> int:
    """Return bytes in whole pages, rounded up."""
    return -(-nbytes // PAGE_BYTES)
