"""Worker processes of this machine.

Each is a new interpreter that imports what its jobs need once and lives as long as the
pool. It is not forked and does not import the caller's ``__main__``, so a script needs
no guard and threads are no danger. A worker that dies (by a signal, for want of memory)
is replaced; its job is tried once more and then is an error like others.
"""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from replay.common.closing import Closing
from replay.common.processors import processors
from replay.parallel.jobs import Outcome, WorkerDied

#: Times that a job is begun before the death of its worker is its outcome.
ATTEMPTS: Final = 2
#: A job is handed to a worker that is still busy, to save it the wait for the next one,
#: only if it is sure to fit into the socket: else both sides could wait for each other.
SMALL_BYTES: Final = 1 << 14
#: How long a worker may take to end once nobody speaks to it any more.
_PATIENCE_S: Final = 1.0
#: Imports are found as in this process, whatever changed its path.
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from replay.parallel.worker import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass(slots=True, kw_only=True)
class _Job:
    number: int
    tag: Any
    payload: bytes
    attempts: int = 0


@dataclass(slots=True, kw_only=True)
class _Worker:
    process: subprocess.Popen[bytes]
    link: Connection
    # the first of them runs, a second one waits in the socket
    jobs: deque[_Job] = field(default_factory=deque)


class Pool(Closing):
    """Runs jobs in processes of this machine; a `replay.parallel.jobs.Runner`.

    A context manager: on leaving, workers end, whatever they are at.

    Parameters
    ----------
    jobs : int or None
        Worker processes; by default one for each processor that this process may use.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._width = processors() if jobs is None else jobs
        if self._width < 1:
            raise ValueError("jobs must be positive")
        self._workers: list[_Worker] = []
        self._queue: deque[_Job] = deque()
        self._finished: deque[Outcome] = deque()
        self._n_given = 0
        self._pending = 0

    @property
    def width(self) -> int:
        """Jobs that run at once."""
        return self._width

    @property
    def pending(self) -> int:
        """Jobs whose outcome was not taken yet."""
        return self._pending

    @property
    def processes(self) -> list[int]:
        """Process ids of the workers that were started."""
        return [worker.process.pid for worker in self._workers]

    def submit(self, tag: Any, function: Callable[[Any], Any], argument: Any) -> None:
        """Take a job; see `replay.parallel.jobs.Runner.submit`."""
        payload = pickle.dumps((function, argument), pickle.HIGHEST_PROTOCOL)
        self._queue.append(_Job(number=self._n_given, tag=tag, payload=payload))
        self._n_given += 1
        self._pending += 1
        self._hand_out()

    def next(self) -> Outcome:
        """Wait for the outcome of any job; there must be a pending one."""
        if not self._pending:
            raise ValueError("no job is pending")
        while not self._finished:
            self._hand_out()
            busy = {worker.link: worker for worker in self._workers if worker.jobs}
            for ready in wait(list(busy)):
                self._receive(busy[ready])  # type: ignore[index]
        self._pending -= 1
        return self._finished.popleft()

    def close(self) -> None:
        """End the workers; what they were at is lost."""
        for worker in self._workers:
            worker.link.close()
            if worker.jobs:
                worker.process.terminate()
        for worker in self._workers:
            try:
                worker.process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()
        self._queue.clear()
        self._finished.clear()
        self._pending = 0

    def _hand_out(self) -> None:
        """Give every worker a job, and then one for later."""
        while self._queue:
            idle = next((one for one in self._workers if not one.jobs), None)
            if idle is None and len(self._workers) < self._width:
                idle = self._start()
            if idle is None:
                if len(self._queue[0].payload) > SMALL_BYTES:
                    return
                idle = next((one for one in self._workers if len(one.jobs) < 2), None)
                if idle is None:
                    return
            self._send(idle, self._queue.popleft())

    def _send(self, worker: _Worker, job: _Job) -> None:
        worker.jobs.append(job)
        # a worker that is gone is found when its answer is read
        with suppress(ConnectionError):
            worker.link.send_bytes(
                pickle.dumps((job.number, job.payload), pickle.HIGHEST_PROTOCOL)
            )

    def _receive(self, worker: _Worker) -> None:
        try:
            number, value, error = pickle.loads(worker.link.recv_bytes())
        except (EOFError, ConnectionError):
            self._bury(worker)
            return
        job = worker.jobs.popleft()
        assert job.number == number
        self._finished.append(Outcome(tag=job.tag, value=value, error=error))

    def _bury(self, worker: _Worker) -> None:
        """Do again what a dead worker was at, unless that is what kills."""
        self._workers.remove(worker)
        worker.link.close()
        code = worker.process.wait()
        running = worker.jobs.popleft()
        running.attempts += 1
        self._queue.extendleft(reversed(worker.jobs))
        if running.attempts < ATTEMPTS:
            self._queue.appendleft(running)
            return
        error = WorkerDied(f"its process died {running.attempts} times{_cause(code)}")
        self._finished.append(Outcome(tag=running.tag, error=error))

    def _start(self) -> _Worker:
        here, there = socket.socketpair()
        with there:
            path = json.dumps(sys.path)
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _BOOT,
                    path,
                    str(there.fileno()),
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                # data goes there; what a worker says is no data
                stdout=2,
                pass_fds=[there.fileno()],
            )
        worker = _Worker(process=process, link=Connection(here.detach()))
        self._workers.append(worker)
        return worker


def _cause(code: int) -> str:
    if code >= 0:
        return f" (exit code {code})"
    hint = ": is there enough memory?" if -code == signal.SIGKILL else ""
    return f" ({signal.Signals(-code).name}{hint})"
