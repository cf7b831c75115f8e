"""The pairing rules once more, in plain Python: slow, short, nothing shared.

Written from the rules (module texts of ``_table``, ``_events``, ``_rows``), with lists
that are searched from end to end. It has none of the bounds on searches, so tests keep
below 64 open requests of one start and 128 in flight.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from support.blktrace import OP_CATEGORIES, Event

LIMIT = 0xFFFFFFFF
FLAGS = {"sync": 1, "meta": 2, "fua": 4, "flush": 8, "ahead": 16}
NO_PLACE = {"flush", "flush_bio", "passthrough"}


@dataclass(eq=False)
class Request:
    """An open request or bio."""

    event: Event
    op: str
    order: int
    sector: int
    at: int
    nbytes: int
    remaining: int
    queue_ns: int | None = None
    issue_ns: int | None = None
    complete_ns: int | None = None
    last_issue_ns: int | None = None
    n_bios: int = 0
    error: int = 0
    state: str = "queued"
    got: bool = False
    requeued: bool = False
    written: bool = False
    #: When it last came under its start and its end.
    start_turn: int = 0
    end_turn: int = 0

    @property
    def end(self) -> int:
        return self.at + (self.remaining >> 9)

    def row(self) -> dict[str, object]:
        event = self.event
        flags = sum(bit for name, bit in FLAGS.items() if name in names_of(event))
        return {
            "queue_ns": self.queue_ns,
            "issue_ns": self.issue_ns,
            "complete_ns": self.complete_ns,
            "last_issue_ns": self.last_issue_ns,
            "device": event.device,
            "sector": self.sector,
            "nbytes": self.nbytes,
            "n_bios": self.n_bios,
            "op": "flush" if self.op == "flush_bio" else self.op,
            "flags": 0 if self.op == "flush" else flags,
            "cgroup": event.cgroup,
            "pid": event.pid,
            "cpu": event.cpu,
            "error": self.error,
        }


def names_of(event: Event) -> set[str]:
    """The categories by name."""
    return {*OP_CATEGORIES[event.op], *event.extra}


def op_of(event: Event) -> str:
    """Name the operation as the decoder should."""
    if event.nbytes == 0 and "flush" in event.extra and event.op in ("read", "write"):
        return "flush"
    if event.op in ("flush", "flush_bio"):
        if event.nbytes == 0:
            return "flush"
        return "read" if event.op == "flush" else "write"
    return event.op


@dataclass
class Oracle:
    """Pairs events; ``rows`` and ``counts`` are the result."""

    window: int
    rows: list[dict[str, object]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    known: list[Request] = field(default_factory=list)
    issued_rows: list[Request] = field(default_factory=list)
    queued_rows: list[Request] = field(default_factory=list)
    in_flight: list[Request] = field(default_factory=list)
    written: list[Request] = field(default_factory=list)
    now: int = 0
    n_events: int = 0
    turn: int = 0

    def hang(self, request: Request, *, start: bool = True, end: bool = True) -> None:
        self.turn += 1
        if start:
            request.start_turn = self.turn
        if end:
            request.end_turn = self.turn

    def choose(
        self, found: Iterable[Request], event: Event, *, oldest: bool, avoid: str = ""
    ) -> Request | None:
        """Best rank; of equals the oldest or newest."""
        ranked = sorted(found, key=lambda r: r.start_turn, reverse=not oldest)

        def rank(request: Request) -> int:
            return (
                4 * (request.remaining == event.nbytes)
                + 2 * (not (avoid and getattr(request, avoid)))
                + (request.event.cgroup == event.cgroup)
            )

        return max(ranked, key=rank, default=None)

    def starting(self, event: Event, op: str, state: str) -> Iterator[Request]:
        for request in self.known:
            if (
                request.state == state
                and request.op == op
                and request.at == event.sector
                and request.event.device == event.device
            ):
                yield request

    def queued(self, event: Event, op: str) -> Request | None:
        return self.choose(
            self.starting(event, op, "queued"),
            event,
            oldest=op in NO_PLACE,
            avoid="written",
        )

    def issued(self, event: Event, op: str) -> Request | None:
        return self.choose(
            self.starting(event, op, "issued"),
            event,
            oldest=op in NO_PLACE,
            avoid="written",
        )

    def fresh(self, event: Event, op: str) -> Request | None:
        """The bio that an M, F or X speaks of."""
        found = (
            request
            for request in self.starting(event, op, "queued")
            if not request.written and not request.requeued
        )
        return self.choose(found, event, oldest=False, avoid="got")

    def add(self, event: Event, op: str) -> Request:
        request = Request(
            event, op, self.n_events, event.sector, event.sector, event.nbytes,
            event.nbytes,
        )  # fmt: skip
        self.known.append(request)
        self.hang(request)
        return request

    def drop(self, request: Request) -> None:
        self.known.remove(request)
        self.queued_rows.remove(request)

    def feed(self, event: Event) -> None:
        """Take one event, in merged order, its time relative to the first."""
        self.now = max(self.now, event.time_ns)
        self.n_events += 1
        op = op_of(event)
        if event.letter in "QGMFIX" and op == "flush":
            op = "flush_bio"
        handler = getattr(self, f"on_{event.letter}", None)
        if handler is not None:
            handler(event, op)
        self.leave(at_end=False)

    def finish(self) -> None:
        self.leave(at_end=True)

    def on_Q(self, event: Event, op: str) -> None:
        request = self.add(event, op)
        request.queue_ns = self.now
        request.n_bios = 1
        self.queued_rows.append(request)

    def on_G(self, event: Event, op: str) -> None:
        found = self.starting(event, op, "queued")
        request = self.choose(found, event, oldest=True, avoid="got")
        if request is None:
            self.counts["get"] += 1
        else:
            request.got = True

    def on_M(self, event: Event, op: str, *, front: bool = False) -> None:
        bio = self.fresh(event, op)
        into: Request | None = None
        if bio is not None and bio.remaining == event.nbytes:
            around = [
                request
                for request in self.known
                if request is not bio
                and request.state == "queued"
                and request.op == op
                and request.event.device == event.device
                and not request.written
                and not request.requeued
                and (request.at == bio.end if front else request.end == bio.at)
            ]
            same = [r for r in around if r.event.cgroup == bio.event.cgroup]
            turn = "start_turn" if front else "end_turn"
            into = max(same or around, key=lambda r: getattr(r, turn), default=None)
        if bio is None or into is None or into.nbytes + bio.nbytes > LIMIT:
            self.counts["merge"] += 1
            return
        if front:
            into.sector = into.at = bio.at
        self.join(into, bio)
        self.hang(into, start=front)

    def on_F(self, event: Event, op: str) -> None:
        self.on_M(event, op, front=True)

    def on_X(self, event: Event, op: str) -> None:
        bio = self.fresh(event, op)
        if bio is None or event.rest is None or bio.remaining <= event.nbytes:
            self.counts["split"] += 1
            return
        left = bio.remaining - event.nbytes
        rest = replace(
            bio, sector=event.rest, at=event.rest, nbytes=left, remaining=left,
            n_bios=1, got=False,
        )  # fmt: skip
        bio.nbytes = bio.remaining = event.nbytes
        self.hang(bio)
        self.known.append(rest)
        self.hang(rest)
        self.queued_rows.insert(self.queued_rows.index(bio) + 1, rest)

    def on_I(self, event: Event, op: str) -> None:
        if op not in NO_PLACE and self.queued(event, op) is None:
            self.counts["insert"] += 1

    def on_D(self, event: Event, op: str) -> None:
        request = self.queued(event, op)
        if request is None:
            request = self.add(event, op)
            if op not in NO_PLACE:
                self.counts["issue_without_queue"] += 1
        elif request.written or request.requeued:
            request.remaining = event.nbytes
            request.state = "issued"
            self.hang(request)
            if request.requeued:
                request.last_issue_ns = self.now
            if not request.written:
                self.in_flight.append(request)
            elif not request.requeued:
                self.counts["late_issue"] += 1
            return
        else:
            if event.nbytes > request.remaining:
                self.absorb(request, event.nbytes)
            self.queued_rows.remove(request)
            request.nbytes = request.remaining = event.nbytes
        request.issue_ns = self.now
        request.order = self.n_events
        request.state = "issued"
        self.hang(request)
        self.issued_rows.append(request)
        self.in_flight.append(request)

    def absorb(self, into: Request, nbytes: int) -> None:
        while into.remaining < nbytes:
            behind = replace(
                into.event, sector=into.end, nbytes=nbytes - into.remaining
            )
            found = (
                request
                for request in self.starting(behind, into.op, "queued")
                if request is not into and not (request.written or request.requeued)
            )
            bio = self.choose(found, behind, oldest=False, avoid="got")
            if bio is None or not 0 < bio.remaining <= nbytes - into.remaining:
                break
            self.join(into, bio)
        if into.op != "discard":
            return
        for bio in self.queued_rows[self.queued_rows.index(into) + 1 :]:
            if into.remaining >= nbytes:
                break
            if (
                bio.op == "discard"
                and bio.state == "queued"
                and not bio.got
                and bio.event.device == into.event.device
                and bio.event.cgroup == into.event.cgroup
                and into.remaining + bio.remaining <= nbytes
            ):
                self.join(into, bio)

    def join(self, into: Request, bio: Request) -> None:
        into.n_bios += bio.n_bios
        into.nbytes += bio.nbytes
        into.remaining += bio.remaining
        self.drop(bio)

    def on_R(self, event: Event, op: str) -> None:
        request = self.issued(event, op)
        if request is None:
            self.counts["requeue"] += 1
            return
        if not request.written:
            self.in_flight.remove(request)
        request.state = "queued"
        request.requeued = True
        self.hang(request)
        self.counts["requeues"] += 1

    def on_C(self, event: Event, op: str) -> None:
        if event.nbytes == 0 and op != "passthrough":
            request = self.empty_done(event, op)
        else:
            request = self.issued(event, op)
            if request is None:
                request = self.queued(event, op)
                if request is not None and request.remaining != event.nbytes:
                    request = None
            if request is None and op != "passthrough":
                request = self.around(event, op)
            if request is None:
                self.counts["complete"] += 1
        if request is None:
            return
        if request.error == 0:
            request.error = event.error
        end = event.sector + (event.nbytes >> 9)
        done = (event.sector - request.at) * 512 + event.nbytes
        was_issued = request.state == "issued"
        if was_issued and op != "passthrough" and done < request.remaining:
            request.remaining -= done
            request.at = end
            self.hang(request)
            self.counts["partial_completions"] += 1
            return
        request.state = "done"
        self.known.remove(request)
        if request.written:
            self.counts["late_completions"] += 1
            return
        request.complete_ns = self.now
        if was_issued:
            self.in_flight.remove(request)

    def empty_done(self, event: Event, op: str) -> Request | None:
        request = self.issued(event, op)
        if request is None or request.remaining:
            request = self.queued(event, "flush_bio")
        if request is None and op != "flush":
            request = self.queued(event, op)
            if request is not None and request.remaining:
                request = None
        if request is None:
            of_machinery = op == "flush" and "write" not in names_of(event)
            self.counts["complete" if of_machinery else "flush_sequences"] += 1
        return request

    def around(self, event: Event, op: str) -> Request | None:
        for request in reversed(self.in_flight):
            skipped = event.sector - request.at
            if (
                request.event.device == event.device
                and request.op == op
                and skipped >= 0
                and skipped * 512 + event.nbytes <= request.remaining
            ):
                return request
        return None

    def leave(self, *, at_end: bool) -> None:
        while self.issued_rows or self.queued_rows:
            heads = []
            if self.issued_rows:
                head = self.issued_rows[0]
                heads.append((head.issue_ns, head.order, self.issued_rows))
            if self.queued_rows:
                head = self.queued_rows[0]
                heads.append((head.queue_ns, head.order, self.queued_rows))
            rows = min(heads, key=lambda entry: entry[:2])[2]
            request = rows[0]
            held = len(self.issued_rows) + len(self.queued_rows)
            if request.state != "done" and not at_end and held <= self.window:
                return
            rows.pop(0)
            self.rows.append(request.row())
            if request.state == "done":
                continue
            unissued = request.issue_ns is None
            self.counts["never_issued" if unissued else "unfinished"] += 1
            if request.state == "issued":
                self.in_flight.remove(request)
            request.written = True
            self.written.append(request)
            self.forget()

    def forget(self) -> None:
        most = max(self.window // 16, 1)
        while self.written and (
            len(self.written) > most or self.written[0].state == "done"
        ):
            request = self.written.pop(0)
            if request.state != "done":
                self.known.remove(request)


def pair(events: Iterable[Event], window: int) -> Oracle:
    """Pair events that are in merged order."""
    oracle = Oracle(window)
    start: int | None = None
    for event in events:
        if start is None:
            start = event.time_ns
        oracle.feed(replace(event, time_ns=event.time_ns - start))
    oracle.finish()
    return oracle
