"""The journal: what is finished is on the disk soon, many pairs to a file.

Each part is one Arrow file of records (`replay.dataset.rows`), and appears whole or not
at all. How long finished pairs wait for a part grows with the batch, up to a minute, so
that a kill costs a hundredth of the work and a night does not leave thousands of files.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import pyarrow as pa
from pyarrow import ipc

from replay.common.closing import Closing
from replay.common.temporary import TemporaryDirectory, temporary_directory
from replay.dataset.damage import intact
from replay.dataset.layout import DatasetLayout, segment_generation, segment_number
from replay.dataset.places import Place
from replay.dataset.rows import RECORD_SCHEMA, State, states

#: Records wait for each other up to this size,
PART_BYTES: Final = 1 << 24
#: and this long,
FIRST_S: Final = 0.5
LONGEST_S: Final = 60.0
#: or this share of the time since the batch began.
SHARE: Final = 0.01
#: Batches that are kept in the hand; what they hold stays on the disk.
KEPT: Final = 1024


class Journal:
    """Writes records, a part at a time.

    Parameters
    ----------
    layout : DatasetLayout
    generation : int
        Of the tables that the records are to be added to.
    first : int
        Number of the first part.
    check : callable
        Called before a part is written; raises what is wrong with writing one.
    clock : callable
        Seconds that only grow.
    """

    def __init__(
        self,
        layout: DatasetLayout,
        generation: int,
        first: int,
        *,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._layout = layout
        self._generation = generation
        self._number = first
        self._check = check
        self._clock = clock
        self._began = clock()
        self._oldest = 0.0
        self._batches: list[pa.RecordBatch] = []
        self._n_bytes = 0

    @property
    def holds_parts(self) -> bool:
        """Return True if there is a part that the tables do not hold."""
        return self._number > 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take records; they are on the disk after the next `flush` at the latest.

        Raises
        ------
        OSError
            They cannot be written.
        """
        if not self._batches:
            self._oldest = self._clock()
        self._batches.append(batch)
        self._n_bytes += batch.get_total_buffer_size()
        if self._n_bytes >= PART_BYTES:
            self.flush()
        else:
            self.tick()

    def tick(self) -> None:
        """Write what has waited long enough."""
        now = self._clock()
        patience = min(LONGEST_S, max(FIRST_S, SHARE * (now - self._began)))
        if self._batches and now - self._oldest >= patience:
            self.flush()

    def flush(self) -> None:
        """Write what was taken.

        Raises
        ------
        OSError
        OutputError
            Another batch took the dataset over.
        """
        if not self._batches:
            return
        self._check()
        sink = pa.BufferOutputStream()
        with ipc.new_file(sink, RECORD_SCHEMA) as writer:
            for batch in self._batches:
                writer.write_batch(batch)
        place = self._layout.segment(self._generation, self._number)
        place.write(sink.getvalue())
        self._number += 1
        self._batches.clear()
        self._n_bytes = 0


class Where(NamedTuple):
    """A record's place: part, batch in it, row in that."""

    part: int
    batch: int
    row: int


class Parts(Closing):
    """Reads the journal; a context manager.

    Attributes
    ----------
    found : dict
        State and place of every pair's newest record, by the pair's names.
    next_number : int
        Of the part that is written next.
    stale : list of Place
        Parts that an older generation has taken in already.
    """

    def __init__(self, layout: DatasetLayout, generation: int) -> None:
        self._batches: dict[tuple[int, int], pa.RecordBatch] = {}
        self._readers: dict[int, ipc.RecordBatchFileReader] = {}
        self._directory: TemporaryDirectory | None = None
        self.found: dict[tuple[str, str], tuple[State, Where]] = {}
        self.places: list[Place] = []
        self.stale: list[Place] = []
        self.next_number = 0
        for file in layout.journal.files():
            if segment_generation(file.place) == generation:
                self.next_number = segment_number(file.place) + 1
                self.places.append(file.place)
                self._index(len(self.places) - 1)
            else:
                self.stale.append(file.place)

    def batch(self, part: int, number: int) -> pa.RecordBatch:
        """Read some records; those of a local dataset stay where they are.

        Parameters
        ----------
        part, number : int
            See `Where`.
        """
        key = part, number
        if key not in self._batches:
            if len(self._batches) >= KEPT:
                del self._batches[next(iter(self._batches))]
            with intact(self.places[part]):
                self._batches[key] = self._reader(part).get_batch(number)
        return self._batches[key]

    def close(self) -> None:
        """Let go of the files."""
        self._batches.clear()
        self._readers.clear()
        if self._directory is not None:
            self._directory.close()

    def _reader(self, part: int) -> ipc.RecordBatchFileReader:
        if part not in self._readers:
            place = self.places[part]
            if (path := place.local) is None:
                if self._directory is None:
                    self._directory = temporary_directory()
                path = self._directory.path / place.name
                place.fetch(path)
            self._readers[part] = ipc.open_file(pa.memory_map(str(path), "r"))
        return self._readers[part]

    def _index(self, part: int) -> None:
        with intact(self.places[part]):
            n_batches = self._reader(part).num_record_batches
        for number in range(n_batches):
            for row, state in enumerate(states(self.batch(part, number))):
                self.found[state.pair] = state, Where(part, number, row)
