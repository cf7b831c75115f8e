"""Workers of a Dask cluster that is there already.

They import the same functions from their own installation of `replay`. When a worker
dies the scheduler gives its jobs to others; a job that outlives several workers is an
error like others.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from replay.common.closing import Closing
from replay.common.errors import ReplayError
from replay.parallel.jobs import Outcome, WorkerDied

#: How long a scheduler may take to answer, and to have a first worker.
PATIENCE_S: Final = 30
#: Workers come and go: how often they are counted.
_COUNT_S: Final = 5.0


class Cluster(Closing):
    """Runs jobs on a Dask cluster; a `replay.parallel.jobs.Runner`.

    A context manager: on leaving, jobs that are not done are given up.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    ReplayError
        dask.distributed is not installed, nobody answers, or there is no worker.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, as_completed
        except ImportError:
            raise ReplayError(
                "a cluster needs dask.distributed: pip install 'cgroup-replay[cluster]'"
            ) from None
        self._address = address
        try:
            self._client = Client(address, timeout=PATIENCE_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ReplayError(
                f"{address}: no Dask scheduler answers there: {error}"
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError:
            self._client.close()
            raise ReplayError(f"{address}: has no workers: start some") from None
        self._finished = as_completed([], loop=self._client.loop)
        self._tags: dict[str, Any] = {}
        self._counted = 0.0
        self._width = 1

    @property
    def width(self) -> int:
        """Threads of all workers."""
        now = time.monotonic()
        if not self._counted or now - self._counted > _COUNT_S:
            self._width = max(1, sum(self._client.nthreads().values()))
            self._counted = now
        return self._width

    @property
    def pending(self) -> int:
        """Jobs whose outcome was not taken yet."""
        return len(self._tags)

    def submit(self, tag: Any, function: Callable[[Any], Any], argument: Any) -> None:
        """Take a job; see `replay.parallel.jobs.Runner.submit`."""
        # equal arguments are other jobs all the same
        future = self._client.submit(function, argument, pure=False)
        self._tags[future.key] = tag
        self._finished.add(future)

    def next(self) -> Outcome:
        """Wait for the outcome of any job; there must be a pending one."""
        if not self._tags:
            raise ValueError("no job is pending")
        future = next(self._finished)
        tag = self._tags.pop(future.key)
        if future.status == "finished":
            return Outcome(tag=tag, value=future.result())
        if future.status != "error":
            raise ReplayError(
                f"{self._address}: the scheduler is gone; what is finished is kept, "
                "and the same command goes on from there"
            )
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            error = WorkerDied(
                "its worker died, and others that tried it: is there enough memory?"
            )
        return Outcome(tag=tag, error=error)

    def close(self) -> None:
        """Give up what is not done, and leave the cluster as it is."""
        self._tags.clear()
        self._finished.clear()
        self._client.close()
