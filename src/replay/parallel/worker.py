"""A worker process: takes jobs from its parent until that is gone.

Kept apart from `replay.parallel.pool` since it is what the child imports first. The two
speak over a socket, in pickles: ``(number, job)`` to the child, where ``job`` is the
pickle of ``(function, argument)``; ``(number, value, error)`` back.
"""

import os
import pickle
import signal
import threading
import time
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Final

from replay.common.errors import ReplayError
from replay.common.leftovers import remove_all

#: How often a worker looks whether its parent lives, while a job runs.
WATCH_S: Final = 0.5


def main(descriptor: int, parent: int) -> None:
    """Run jobs until the parent hangs up or dies.

    Parameters
    ----------
    descriptor : int
        Of the socket to the parent.
    parent : int
        Its process id.
    """
    # Ctrl-C and a closed terminal reach every process of it; the parent decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # what a job has in temporary files goes with it
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    _one_thread()
    link = Connection(descriptor)
    while True:
        try:
            number, job = pickle.loads(link.recv_bytes())
        except (EOFError, ConnectionError):
            return
        value, error = _run(job)
        try:
            message = pickle.dumps((number, value, error), pickle.HIGHEST_PROTOCOL)
        except Exception as refused:
            told = ReplayError(f"a job's outcome cannot be sent: {refused!r}")
            message = pickle.dumps((number, None, told))
        try:
            link.send_bytes(message)
        except ConnectionError:
            return


def _watch(parent: int) -> None:
    """End with the parent, also in the middle of a job."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    remove_all()
    os._exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    # at once: an exception may come where nothing can be raised, as in a finalizer
    remove_all()
    os._exit(128 + number)


def _one_thread() -> None:
    """Keep pyarrow to one thread: there is a worker for each processor."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _run(job: bytes) -> tuple[Any, Exception | None]:
    try:
        function, argument = pickle.loads(job)
        return function(argument), None
    except Exception as error:
        # what holds it may be large, and may not be sent
        error.__traceback__ = None
        return None, _sendable(error)


def _sendable(error: Exception) -> Exception:
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        return ReplayError(f"{type(error).__name__}: {error}")
    return error if type(again) is type(error) else ReplayError(str(error))
