"""The rows of a recording as they are decoded, by another thread if there may be one.

What is imported here is little: a second thread is at work before this one has imported
what replays the rows.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from queue import Full, Queue
from typing import Final, NamedTuple

import pyarrow as pa
from msgspec import Struct

from replay.trace.blktrace.batches import BlktraceBatches
from replay.trace.file.metadata import Metadata
from replay.trace.recording import Recording

#: Batches that are decoded ahead of the engine by a second thread, some 45 MB: about as
#: many as it makes while this one imports what replays them.
_AHEAD: Final = 12
_POLL_S: Final = 0.1
#: Of so many ids it is told at once what is known.
_FEW_IDS: Final = 4096
#: Of more when they have so many rows each: else others are soon to come, and to bind a
#: scenario to so many takes longer than to replay their rows.
_ROWS_OF_ID: Final = 16
#: Of rows whose ids are not followed.
NO_IDS: Final = (-1, -1)


class DecodedBatch(NamedTuple):
    """Rows, and what was known when they were decoded.

    Attributes
    ----------
    rows : RecordBatch
    n_ids : (int, int)
        Devices and cgroups up to here.
    so_far : Metadata or None
        What a scenario can be bound to: not with every batch.
    """

    rows: pa.RecordBatch
    n_ids: tuple[int, int] = NO_IDS
    so_far: Metadata | None = None


class Decoding(Struct, frozen=True, kw_only=True):
    """A recording that is being decoded.

    Attributes
    ----------
    recording : Recording
    batches : iterator of DecodedBatch
        It raises as the recording's rows do.
    follow : bool
        Batches say what is known so far.
    threads : int
        With 2 or more it is decoded by others than replay its rows, a large one by
        so many.
    busy : bool
        Who replays its rows has as much to do as who decodes: of so many threads one
        fewer decodes.
    """

    recording: Recording
    batches: Iterator[DecodedBatch]
    follow: bool
    threads: int
    busy: bool

    def again(self) -> AbstractContextManager["Decoding"]:
        """Begin anew, when it has ended."""
        return decoded(
            self.recording, follow=self.follow, threads=self.threads, busy=self.busy
        )


@contextmanager
def decoded(
    recording: Recording, *, follow: bool, threads: int, busy: bool
) -> Iterator[Decoding]:
    """Decode a recording.

    Parameters
    ----------
    recording, follow, threads, busy
        As `Decoding` has them.

    Yields
    ------
    Decoding
        With 2 threads its rows are decoded from now on, to the end of the block.
    """
    rows = recording.rows
    # text always takes longer to read than to replay
    busy = busy and isinstance(rows, BlktraceBatches)
    rows.use_threads(max(threads - 1, 1) if busy else threads)
    with ExitStack() as stack:
        batches: Iterator[DecodedBatch] = stack.enter_context(
            closing(_batches(recording, follow=follow))
        )
        if threads > 1:
            halt = rows.halt if isinstance(rows, BlktraceBatches) else None
            batches = stack.enter_context(_in_thread(batches, halt))
        yield Decoding(
            recording=recording,
            batches=batches,
            follow=follow,
            threads=threads,
            busy=busy,
        )


def _batches(
    recording: Recording, *, follow: bool
) -> Generator[DecodedBatch, None, None]:
    rows = recording.rows
    if not follow or not isinstance(rows, BlktraceBatches):
        yield from map(DecodedBatch, rows)
        return
    known = (0, 0)
    n_rows = 0
    for number, batch in enumerate(rows, start=1):
        so_far = None
        n_rows += batch.num_rows
        # after 1, 2, 4, 8 ... batches: what is replayed in vain stays in bounds
        if (
            number & (number - 1) == 0
            and rows.n_ids != known
            and (sum(rows.n_ids) <= _FEW_IDS or n_rows >= _ROWS_OF_ID * sum(rows.n_ids))
        ):
            known = rows.n_ids
            so_far = recording.describe(rows.so_far())
        yield DecodedBatch(batch, rows.n_ids, so_far)


@contextmanager
def _in_thread(
    batches: Iterator[DecodedBatch], halt: Callable[[], None] | None
) -> Iterator[Iterator[DecodedBatch]]:
    """Iterate a little ahead in another thread, which ends with the block.

    ``halt`` ends what it is at, where the block ends before that.
    """
    queue: Queue[DecodedBatch | BaseException | None] = Queue(_AHEAD)
    stopped = False

    def put(item: DecodedBatch | BaseException | None) -> None:
        while not stopped:
            try:
                queue.put(item, timeout=_POLL_S)
            except Full:
                continue
            return

    def iterate() -> None:
        try:
            for batch in batches:
                put(batch)
                if stopped:
                    return
            put(None)
        except BaseException as error:
            put(error)

    def taken() -> Iterator[DecodedBatch]:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=iterate, daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopped = True
        if thread.is_alive() and halt is not None:
            halt()
        thread.join()
