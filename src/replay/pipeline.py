"""A recording is replayed while it is decoded, without a trace file in between.

A scenario is bound to the ids that a trace holds, and all of them are known at its end
only. So the run begins on a guess, that no others come: it is bound to what the rows so
far hold. If others come soon it begins anew with more of them. If they come late, or it
is otherwise wrong at the end, it is thrown away and the recording is read once more.
Where a scenario needs the rows more than once they are kept instead.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from queue import Full, Queue
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from replay.engine._engine import Engine
from replay.engine.layout import raw_tables
from replay.engine.raw import Raw
from replay.engine.setup import ArrivalEvent, ArrivalMode, Setup
from replay.errors import ReplayError
from replay.feed import RowFeed
from replay.scenario.bind import Binding
from replay.scenario.load import Scenario
from replay.trace.blktrace import BlktraceBatches
from replay.trace.formats.order import Disordered
from replay.trace.kept import KeptRows
from replay.trace.metadata import Metadata
from replay.trace.recording import Recording

#: Batches that are decoded ahead of the engine by a second thread.
_AHEAD: Final = 3
#: Batches that are kept in case that the run begins anew: some 32 MB.
_KEPT: Final = 8
_POLL_S: Final = 0.1
#: Of rows whose ids are not followed.
_NO_IDS: Final = (-1, -1)


@dataclass(frozen=True, slots=True)
class Guess:
    """What a run came to that began before the recording was read to its end.

    Attributes
    ----------
    binding : Binding
        What it was bound to.
    raw : Raw
        Of all rows.
    """

    binding: Binding
    raw: Raw

    def holds(self, binding: Binding) -> bool:
        """Tell whether it is what a run with the whole trace's binding comes to."""
        ours = self.binding
        return (
            _same_setup(ours.setup, binding.setup)
            and np.array_equal(ours.cgroup_ids, binding.cgroup_ids)
            and np.array_equal(ours.cgroup_of_id, binding.cgroup_of_id)
            and ours.device_names == binding.device_names
            and ours.one_device == binding.one_device
        )


class RowsAgain:
    """The rows of a recording that was read before: decoded again, each time.

    Attributes
    ----------
    path : Path
    metadata : Metadata
    n_rows : int
    """

    def __init__(self, recording: Recording, metadata: Metadata) -> None:
        self.path: Path = recording.path
        self.metadata = metadata
        self.n_rows = metadata.summary.n_rows
        self._rows = recording.rows

    def batches(self, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Go through all rows, as `Trace.batches` does."""
        for batch in self._rows:
            step = batch_rows or batch.num_rows
            for start in range(0, batch.num_rows, step):
                yield batch.slice(start, step)


class _Batch(NamedTuple):
    rows: pa.RecordBatch
    #: Devices and cgroups up to here.
    n_ids: tuple[int, int] = _NO_IDS
    #: What a scenario can be bound to: not with every batch.
    so_far: Metadata | None = None


class _UnknownError(Exception):
    """What is asked for is known at the end only."""


class _SoFar:
    """The part of a trace that binding may look at."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata

    def batches(self) -> Iterator[pa.RecordBatch]:
        raise _UnknownError


def read_and_replay(
    recording: Recording,
    kept: KeptRows,
    scenario: Scenario,
    *,
    batch_rows: int | None = None,
    threads: int = 1,
    guess: bool = True,
) -> tuple[KeptRows | RowsAgain, Guess | None]:
    """Read a recording to its end, and replay it meanwhile if that is possible.

    Parameters
    ----------
    recording : Recording
        Not read yet.
    kept : KeptRows
        Takes its rows, where they are needed more than once.
    scenario : Scenario
    batch_rows : int or None
        Rows handed to the engine at once.
    threads : int
        With 2 or more a second thread decodes.
    guess : bool
        False only reads.

    Returns
    -------
    tuple of (KeptRows or RowsAgain) and (Guess or None)
        The rows, and what `Guess.holds` has to be asked of.

    Raises
    ------
    TraceError
        The recording cannot be read.
    OutputError
        A temporary file cannot be written.
    """
    try:
        return _read_once(recording, kept, scenario, batch_rows, threads, guess)
    except Disordered:
        # again, with the rows sorted on disk
        kept.clear()
        recording.rows.sort_on_disk()
        return _read_once(recording, kept, scenario, batch_rows, threads, guess)


def _read_once(
    recording: Recording,
    kept: KeptRows,
    scenario: Scenario,
    batch_rows: int | None,
    threads: int,
    guess: bool,
) -> tuple[KeptRows | RowsAgain, Guess | None]:
    run = _Run(scenario, batch_rows) if guess else None
    keeps = True
    with ExitStack() as stack:
        batches = _decoded(recording, follow=guess)
        if threads > 1:
            batches = stack.enter_context(_in_thread(batches))
        for number, batch in enumerate(batches, start=1):
            recording.advanced()
            if keeps:
                kept.add(batch.rows)
            if run is None:
                continue
            try:
                run.take(batch, kept.first(number) if keeps else None)
            except (_UnknownError, ReplayError):
                # with the whole trace it is known, or refused in words true of it
                run = None
            if keeps and run is not None and number == _KEPT:
                keeps = False
                kept.clear()
    recording.ended()
    metadata = recording.describe(recording.rows.summary)
    result = None
    if run is not None:
        with suppress(ReplayError):
            result = run.end()
    if not keeps:
        return RowsAgain(recording, metadata), result
    kept.finish(metadata)
    return kept, result


def _decoded(recording: Recording, *, follow: bool) -> Iterator[_Batch]:
    """Decode a recording; say what is known so far of one whose ids are followed."""
    rows = recording.rows
    if not follow or not isinstance(rows, BlktraceBatches):
        yield from map(_Batch, rows)
        return
    known = (0, 0)
    for number, batch in enumerate(rows, start=1):
        so_far = None
        # after 1, 2, 4, 8 ... batches: what is replayed in vain stays in bounds
        if number & (number - 1) == 0 and rows.n_ids != known:
            known = rows.n_ids
            so_far = recording.describe(rows.so_far())
        yield _Batch(batch, rows.n_ids, so_far)


@contextmanager
def _in_thread(batches: Iterator[_Batch]) -> Iterator[Iterator[_Batch]]:
    """Iterate a little ahead in another thread, which ends with the block."""
    queue: Queue[_Batch | BaseException | None] = Queue(_AHEAD)
    stopped = False

    def put(item: _Batch | BaseException | None) -> None:
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

    def taken() -> Iterator[_Batch]:
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
        thread.join()


class _Run:
    """An engine that is given batches as they come, bound to what is known so far."""

    def __init__(self, scenario: Scenario, batch_rows: int | None) -> None:
        self._scenario = scenario
        self._batch_rows = batch_rows
        self._n_ids = _NO_IDS
        self._binding: Binding | None = None
        self._feed: RowFeed | None = None
        self._engine: Engine | None = None

    def take(self, batch: _Batch, so_far: list[pa.RecordBatch] | None) -> None:
        """Replay a batch.

        Parameters
        ----------
        batch : _Batch
        so_far : list of RecordBatch or None
            All batches with this one, if they are there.

        Raises
        ------
        _UnknownError
            It cannot be replayed before the end.
        """
        if batch.so_far is not None:
            if so_far is None:
                raise _UnknownError
            self._begin(batch.so_far, batch.n_ids)
            for rows in so_far:
                self._replay(rows)
        elif batch.n_ids != self._n_ids:
            # there are others, soon to be told
            self._engine = None
        elif self._engine is not None:
            self._replay(batch.rows)

    def _begin(self, so_far: Metadata, n_ids: tuple[int, int]) -> None:
        binding = self._scenario.bind(_SoFar(so_far))
        if not _may_begin(binding):
            raise _UnknownError
        self._n_ids = n_ids
        self._binding = binding
        self._feed = RowFeed(binding)
        self._engine = Engine(binding.setup, False)

    def _replay(self, rows: pa.RecordBatch) -> None:
        assert self._feed is not None
        assert self._engine is not None
        step = self._batch_rows or rows.num_rows
        for start in range(0, rows.num_rows, step):
            part = self._feed.part(rows.slice(start, step))
            self._engine.feed(part.columns, part.service_ns)

    def end(self) -> Guess | None:
        """Replay what is under way; None if it was bound to too little."""
        if self._engine is None or self._binding is None:
            return None
        while self._engine.advance():
            pass
        setup = self._binding.setup
        tables, counts = self._engine.tables(), self._engine.counts()
        return Guess(self._binding, raw_tables(setup, tables, counts))


def _may_begin(binding: Binding) -> bool:
    """Tell whether rows can be replayed before later ones are known."""
    return (
        binding.setup.event == ArrivalEvent.ISSUE
        and binding.setup.mode == ArrivalMode.RECORDED
        # by processes, any of which may have another name later
        and not binding.assigns
    )


def _same_setup(a: Setup, b: Setup) -> bool:
    return all(
        np.array_equal(getattr(a, field.name), getattr(b, field.name))
        for field in fields(Setup)
    )
