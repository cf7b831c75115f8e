"""State that the parts of a run share: its set-up, its time and its events."""

import heapq

from replay.engine.reference.state.events import IN_VAIN, Kind
from replay.engine.reference.state.requests import Request
from replay.engine.setup import Setup


class Run:
    """A run: what `Sim` is in the engine.

    Parts that need more than this are given it by `Reference`, which owns all.

    Parameters
    ----------
    setup : Setup

    Attributes
    ----------
    now : int
        Time of the event that runs, ns.
    end_ns : int
        When the last request ended so far.
    flying : dict of int to Request
        Requests that are under way, by row.
    heap : list of (int, int, int, int)
        Events to come: time, kind, number and what else the event says.
    pending : int
        Those that a request waits for.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.now = 0
        self.end_ns = 0
        self.flying: dict[int, Request] = {}
        self.heap: list[tuple[int, int, int, int]] = []
        self.pending = 0

    def push(self, at: int, kind: Kind, sequence: int, payload: int = 0) -> None:
        """Add an event; all but a few keep the run going."""
        heapq.heappush(self.heap, (at, int(kind), sequence, payload))
        self.pending += kind not in IN_VAIN

    def pop(self) -> tuple[int, int, int]:
        """Take out the next event, at whose time it is then; return what it says."""
        self.now, event, sequence, payload = heapq.heappop(self.heap)
        self.pending -= event not in IN_VAIN
        return event, sequence, payload
