"""A recording is replayed while it is decoded, without a trace file in between.

A scenario is bound to the ids that a trace holds, and all of them are known at its end
only. So the run begins on a guess, that no others come: it is bound to what the rows so
far hold. If others come soon it begins anew with more of them. If they come late, or it
is otherwise wrong at the end, it is thrown away and the recording is read once more.
Where a scenario needs the rows more than once they are kept instead.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs

from replay.common.errors import ReplayError
from replay.engine._engine import Engine
from replay.engine.layout import raw_tables
from replay.engine.raw import Raw
from replay.engine.setup import ArrivalEvent, ArrivalMode, Setup
from replay.runner.ahead import Ahead
from replay.runner.decode_ahead import NO_IDS, DecodedBatch, Decoding
from replay.runner.feed import Errors, RowFeed
from replay.scenario.bind import Binding, bind
from replay.scenario.keys.load import Scenario
from replay.trace.file.metadata import Metadata
from replay.trace.file.spill import KeptRows
from replay.trace.recording import Recording
from replay.trace.rows import Disordered, sliced

#: Batches that are kept in case that a run which has begun begins anew: some 32 MB.
_KEPT: Final = 8


class Guess(Struct, frozen=True):
    """The outcome of a run that began before the recording was read to its end.

    Attributes
    ----------
    binding : Binding
        What it was bound to.
    raw : Raw
        Of all rows.
    errors : Errors
        Rows that failed when they were recorded.
    """

    binding: Binding
    raw: Raw
    errors: Errors

    def holds(self, binding: Binding) -> bool:
        """Return True if it is what a run with the whole trace's binding comes to."""
        ours = self.binding
        return (
            _same_setup(ours.setup, binding.setup)
            and np.array_equal(ours.cgroup_ids, binding.cgroup_ids)
            and np.array_equal(ours.cgroup_of_id, binding.cgroup_of_id)
            and ours.device_names == binding.device_names
            and ours.one_device == binding.one_device
            and ours.resolver.counts_once == binding.resolver.counts_once
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
        return sliced(self._rows, batch_rows)


class _UnknownError(Exception):
    """The facts asked for are known at the end only."""


class _SoFar:
    """A trace's facts known before its end; its rows are not to be read."""

    def __init__(self, path: Path, metadata: Metadata) -> None:
        self.path = path
        self.metadata = metadata
        self.n_rows = metadata.summary.n_rows

    def batches(self, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        raise _UnknownError


def read_and_replay(
    reading: Decoding,
    kept: KeptRows,
    scenario: Scenario,
    *,
    batch_rows: int | None = None,
) -> tuple[KeptRows | RowsAgain, Guess | None]:
    """Read a recording to its end, and replay it meanwhile if that is possible.

    Parameters
    ----------
    reading : Decoding
        None of its rows was read yet. Without ``follow`` it is only read.
    kept : KeptRows
        Takes its rows, where they are needed more than once.
    scenario : Scenario
    batch_rows : int or None
        Rows handed to the engine at once.

    Returns
    -------
    tuple of Rows and (Guess or None)
        The rows, and what `Guess.holds` has to be asked of.

    Raises
    ------
    TraceError
        The recording cannot be read.
    OutputError
        A temporary file cannot be written.
    """
    try:
        return _read_once(reading, kept, scenario, batch_rows)
    except Disordered:
        # again, with the rows sorted on disk
        kept.clear()
        reading.recording.rows.sort_on_disk()
        with reading.again() as again:
            return _read_once(again, kept, scenario, batch_rows)


def _read_once(
    reading: Decoding,
    kept: KeptRows,
    scenario: Scenario,
    batch_rows: int | None,
) -> tuple[KeptRows | RowsAgain, Guess | None]:
    recording = reading.recording
    run = _EarlyRun(recording, scenario, batch_rows) if reading.follow else None
    keeps = True
    for number, batch in enumerate(reading.batches, start=1):
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
        if keeps and run is not None and run.has_begun and number >= _KEPT:
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


class _EarlyRun:
    """An engine that is given batches as they come, bound to what is known so far."""

    def __init__(
        self, recording: Recording, scenario: Scenario, batch_rows: int | None
    ) -> None:
        self._path = recording.path
        self._scenario = scenario
        self._batch_rows = batch_rows
        self._kernel = recording.kernel
        self._record_version = recording.record_version
        self._errors: Errors = Counter()
        self._n_ids = NO_IDS
        self._binding: Binding | None = None
        self._feed: RowFeed | None = None
        self._engine: Engine | None = None
        self._disks: Ahead | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it was bound to something, right or wrong."""
        return self._binding is not None

    def take(self, batch: DecodedBatch, so_far: list[pa.RecordBatch] | None) -> None:
        """Replay a batch.

        Parameters
        ----------
        batch : DecodedBatch
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
        so_far = structs.replace(
            so_far, kernel=self._kernel, record_version=self._record_version
        )
        binding = bind(self._scenario, _SoFar(self._path, so_far))
        if not _may_begin(binding):
            raise _UnknownError
        self._n_ids = n_ids
        self._binding = binding
        self._errors.clear()
        self._feed = RowFeed(binding, errors=self._errors)
        self._engine = Engine(binding.setup, False)
        self._disks = Ahead.of(binding.setup)

    def _replay(self, rows: pa.RecordBatch) -> None:
        assert self._feed is not None
        assert self._engine is not None
        step = self._batch_rows or rows.num_rows
        for start in range(0, rows.num_rows, step):
            for part in self._feed.add(rows.slice(start, step)):
                self._engine.feed(part.columns, part.service_ns)
                if self._disks is not None:
                    self._disks.add(part.columns)

    def end(self) -> Guess | None:
        """Replay what is under way; None if it was bound to too little."""
        if self._engine is None or self._binding is None:
            return None
        assert self._feed is not None
        for part in self._feed.end():
            self._engine.feed(part.columns, part.service_ns)
            if self._disks is not None:
                self._disks.add(part.columns)
        while self._engine.advance():
            pass
        setup = self._binding.setup
        # what Arrow keeps for more rows, some 50 MB
        pa.default_memory_pool().release_unused()
        tables, counts = self._engine.tables(), self._engine.counts()
        # its memory is free before that of the columns is taken
        self._engine = None
        raw = raw_tables(setup, tables, counts)
        if self._disks is not None:
            self._disks.add_to(raw)
        return Guess(self._binding, raw, self._errors)


def _may_begin(binding: Binding) -> bool:
    """Return True if rows can be replayed before later ones are known."""
    return (
        binding.setup.event != ArrivalEvent.QUEUE
        and binding.setup.mode == ArrivalMode.RECORDED
        # by processes, any of which may have another name later
        and not binding.assigns
    )


def _same_setup(a: Setup, b: Setup) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in Setup.__struct_fields__
    )
