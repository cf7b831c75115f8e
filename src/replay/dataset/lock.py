"""One batch at a time on a dataset; the lock dies with its batch.

On this machine the kernel holds the lock, and lets go of it when the process ends,
however it ends. On an object store there is no such thing: there the lock is an object
that its batch rewrites every few seconds. Who finds one waits until it has changed, and
then gives up, or until it has not for long enough, and then takes it. No clock of
another machine is read.

Who was taken for dead may live: it was stopped for a while, or cut off. So it asks
before each thing that it writes, and a batch that took a dataset over gives its own
files names that the other one does not use (`replay.dataset.publish.recover`). A store
that writes on a condition is not asked for: what is written in the very moment between
the question and the writing is not kept from it.
"""

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from replay.common.errors import OutputError
from replay.dataset.layout import DatasetLayout

#: How often a batch says that it lives, where the kernel cannot.
BEAT_S: Final = 5.0
#: Silence after which a batch is dead.
SILENCE_S: Final = 30.0


class HeldDataset:
    """A dataset that this batch holds; the kernel sees to it.

    Attributes
    ----------
    taken_over : bool
        Another batch held it and was silent for so long that it was taken for dead.
    """

    taken_over = False

    def check(self) -> None:
        """Make sure that it is still held, before something is written.

        Raises
        ------
        OutputError
            Another batch took the dataset over meanwhile.
        """


@contextmanager
def locked(
    layout: DatasetLayout,
    *,
    beat_s: float | None = None,
    silence_s: float | None = None,
) -> Iterator[HeldDataset]:
    """Hold a dataset.

    Parameters
    ----------
    layout : DatasetLayout
        Its internal directory exists.
    beat_s, silence_s : float or None
        By default `BEAT_S` and `SILENCE_S`.

    Yields
    ------
    HeldDataset

    Raises
    ------
    OutputError
        Another batch holds it.
    """
    path = layout.lock.local
    if path is not None:
        with _by_kernel(layout, path):
            yield HeldDataset()
        return
    lease = _Lease(layout, beat_s or BEAT_S, silence_s or SILENCE_S)
    lease.take()
    try:
        yield lease
    finally:
        lease.release()


@contextmanager
def _by_kernel(layout: DatasetLayout, path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(layout, os.read(descriptor, 200)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _me().encode(), 0)
        yield
    finally:
        os.close(descriptor)


class _Lease(HeldDataset):
    """An object that says which batch holds the dataset, as long as it is renewed."""

    def __init__(self, layout: DatasetLayout, beat_s: float, silence_s: float) -> None:
        self._layout = layout
        self._beat_s = beat_s
        self._silence_s = silence_s
        self._token = secrets.token_hex(8)
        self._n_beats = 0
        self._done = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def take(self) -> None:
        end = time.monotonic() + self._silence_s
        seen = first = self._read()
        while first and time.monotonic() < end:
            time.sleep(self._beat_s / 5)
            seen = self._read()
            if seen != first:
                break
        if seen and seen != first:
            raise _held(self._layout, json.dumps(seen.get("holder", "")).encode())
        self.taken_over = bool(seen)
        self._write()
        # two may have come to this point at once: the last one to write has it
        time.sleep(self._beat_s / 5)
        self._check_token()
        self._thread.start()

    def check(self) -> None:
        """Make sure of it, and say once more that this batch lives."""
        self._check_token()
        self._write()

    def release(self) -> None:
        self._done.set()
        self._thread.join()
        # a store that is gone now takes the lock for one of the dead
        with suppress(OSError, OutputError):
            self._check_token()
            self._layout.lock.remove()

    def _renew(self) -> None:
        while not self._done.wait(self._beat_s):
            try:
                self._check_token()
                self._write()
            except OutputError:
                # it was taken for dead: the other one's word stays, and so does it if
                # the other one has ended
                return
            except Exception:
                # each store has errors of its own. It may be back for the next beat; if
                # not, writing results fails
                continue

    def _check_token(self) -> None:
        """Raise OutputError if the lock is not this batch's."""
        with self._writing:
            seen = self._read()
        if not seen:
            raise OutputError(
                f"{self._layout.root}: another batch took it over meanwhile and has "
                "ended: run the same command again"
            )
        if seen.get("token") != self._token:
            raise _held(self._layout, json.dumps(seen.get("holder", "")).encode())

    def _write(self) -> None:
        with self._writing:
            self._n_beats += 1
            told = {"holder": _me(), "token": self._token, "beat": self._n_beats}
            self._layout.lock.write(json.dumps(told).encode())

    def _read(self) -> dict[str, object]:
        """Read what stands there; nothing if there is no lock."""
        try:
            found = json.loads(self._layout.lock.read())
        except FileNotFoundError:
            return {}
        except ValueError:
            # where a file is seen while it is written it is whole soon
            return {"token": "half written"}
        return found if isinstance(found, dict) else {"token": "strange"}


def _me() -> str:
    return f"process {os.getpid()} of {socket.gethostname()}"


def _held(layout: DatasetLayout, holder: bytes) -> OutputError:
    name = holder.decode(errors="replace").strip('"') or "another process"
    return OutputError(
        f"{layout.root}: {name} is at work on it: wait for it, or name another dataset"
    )
