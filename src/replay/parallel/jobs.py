"""Jobs, what becomes of them, and who runs them.

A job is a function of a module and one argument, both of which can be pickled. A
`Runner` takes jobs and gives an `Outcome` for each: a value or the error, so that one
bad job stops nobody else. `replay.parallel.pool.Pool` runs them in processes of this
machine::

    with Pool(2) as pool:
        for outcome in in_order(pool, function, arguments):
            if outcome.error is None:
                use(outcome.value)

`in_order` draws the arguments while it goes and keeps a bounded number of jobs and
values, however many there are. Who does not need an order, or finds new jobs on the
way, calls `Runner.submit` and `Runner.next` himself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from replay.common.errors import ReplayError

#: Jobs that are kept going or kept for their turn, for each that can run at once.
AHEAD: Final = 8


class WorkerDied(ReplayError):
    """The process that ran a job ended, more than once, before the job did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a job.

    Attributes
    ----------
    tag : object
        As it was given with the job.
    value : object
        What the function returned; None if there is an error.
    error : Exception or None
        What the function raised, or `WorkerDied`.
    """

    tag: Any
    value: Any = None
    error: Exception | None = None


class Runner(Protocol):
    """Runs jobs, several at a time."""

    @property
    def width(self) -> int:
        """Jobs that run at once; to keep them running twice as many should be given."""

    @property
    def pending(self) -> int:
        """Jobs whose outcome was not taken yet."""

    def submit(self, tag: Any, function: Callable[[Any], Any], argument: Any) -> None:
        """Take a job.

        Parameters
        ----------
        tag : object
            Given back with the outcome; it stays in this process.
        function : callable
            Of a module that can be imported; called with the argument elsewhere, and
            again if its process dies.
        argument : object
        """

    def next(self) -> Outcome:
        """Wait for the outcome of any job; there must be a pending one."""


def in_order(
    runner: Runner,
    function: Callable[[Any], Any],
    arguments: Iterable[Any],
    *,
    ahead: int | None = None,
) -> Iterator[Outcome]:
    """Run a function on many arguments; give the outcomes in their order.

    Parameters
    ----------
    runner : Runner
        Has no pending job.
    function : callable
    arguments : iterable
        Drawn one by one when there is room.
    ahead : int or None
        Arguments that are drawn beyond the outcome that is waited for, at most; by
        default `AHEAD` for each job that can run at once.

    Yields
    ------
    Outcome
        Its tag is the argument's number, from 0.
    """
    room = runner.width * AHEAD if ahead is None else ahead
    if room < 1:
        raise ValueError("ahead must be positive")
    numbered = enumerate(arguments)
    waiting: dict[int, Outcome] = {}
    drawn = given = 0
    more = True
    while True:
        while more and drawn - given < room and runner.pending < 2 * runner.width:
            try:
                number, argument = next(numbered)
            except StopIteration:
                more = False
                break
            runner.submit(number, function, argument)
            drawn += 1
        if given == drawn:
            return
        while given not in waiting:
            outcome = runner.next()
            waiting[outcome.tag] = outcome
            if more and drawn - given < room:
                break
        while given in waiting:
            yield waiting.pop(given)
            given += 1
