"""Makes the next generation of a dataset's tables: all rows of all pairs, in order.

Rows of pairs that were there come from the tables' files, the others from the journal.
Pairs are ordered by trace, then scenario, so the tables do not depend on how often a
batch was stopped or what was finished first. Memory holds a row group of one table.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import ipc

from replay.common.output import sync
from replay.common.version import WRITER
from replay.dataset.check import check_table, damaged, opened_table, part_of
from replay.dataset.damage import intact
from replay.dataset.journal import Parts, Where
from replay.dataset.layout import DatasetLayout, Manifest, TablePart
from replay.dataset.places import Place
from replay.dataset.rows import (
    RECORD_SCHEMA,
    SCHEMAS,
    STATE_NAMES,
    State,
    flat,
    n_rows,
    states,
)

#: A row group ends with this many rows or bytes,
GROUP_ROWS: Final = 1 << 17
GROUP_BYTES: Final = 1 << 25
#: a file with this many rows or bytes, before compression.
FILE_ROWS: Final = 1 << 22
FILE_BYTES: Final = 1 << 29
#: Rows of a pair in a table: more than fit into memory.
_MOST: Final = 1 << 40
#: Pairs whose records are taken apart at once.
TOGETHER: Final = 1024

PAIRS_SCHEMA: Final = pa.schema(
    [
        *(RECORD_SCHEMA.field(name) for name in STATE_NAMES),
        *(pa.field(name, pa.int64()) for name in SCHEMAS),
    ]
)


class Pairs:
    """The pairs of a generation, in the order of their rows.

    Attributes
    ----------
    states : list of State
    n_rows : dict of str to ndarray of int64, shape (n_pairs,)
        Rows of each pair in each table.
    """

    def __init__(self, found: list[State], counts: dict[str, NDArray[np.int64]]):
        self.states = found
        self.n_rows = counts

    @classmethod
    def read(cls, layout: DatasetLayout, generation: int) -> Self:
        """Read the pairs of a generation; there are none before the first."""
        if generation == 0:
            return cls([], {name: np.zeros(0, np.int64) for name in SCHEMAS})
        place = layout.pairs(generation)
        with intact(place), place.opened() as file:
            table = ipc.open_file(file).read_all()
            table.validate(full=True)
            if table.schema != PAIRS_SCHEMA:
                raise pa.ArrowInvalid("its columns are not those of pairs")
            found = [one for batch in table.to_batches() for one in states(batch)]
            counts = {name: table.column(name).to_numpy().copy() for name in SCHEMAS}
            every = np.concatenate(list(counts.values()))
            if len(every) and not 0 <= every.min() <= every.max() <= _MOST:
                raise pa.ArrowInvalid("a number of rows that cannot be")
        return cls(found, counts)

    def write(self, place: Place) -> None:
        """Write them, whole or not at all."""
        columns = [
            pa.array([getattr(state, name) for state in self.states], pa.string())
            for name in STATE_NAMES
        ]
        counts = [pa.array(self.n_rows[name], pa.int64()) for name in SCHEMAS]
        batch = pa.RecordBatch.from_arrays([*columns, *counts], schema=PAIRS_SCHEMA)
        sink = pa.BufferOutputStream()
        with ipc.new_file(sink, PAIRS_SCHEMA) as writer:
            writer.write_batch(batch)
        place.write(sink.getvalue())


class _Old(NamedTuple):
    """Pairs whose rows follow each other in the tables that are there."""

    first: int
    last: int


class _New(NamedTuple):
    """Pairs whose records follow each other in the journal."""

    where: Where
    n_pairs: int


def make_generation(
    layout: DatasetLayout, manifest: Manifest, parts: Parts
) -> Manifest:
    """Write the files of the next generation; they do not count yet.

    Parameters
    ----------
    layout : DatasetLayout
    manifest : Manifest
        Of the generation that is there.
    parts : Parts
        The journal.

    Returns
    -------
    Manifest
        Of the next generation.

    Raises
    ------
    OSError
        The files cannot be written.
    """
    generation = manifest.generation + 1
    old = Pairs.read(layout, manifest.generation)
    place_of_old = {state.pair: number for number, state in enumerate(old.states)}
    order = sorted(place_of_old.keys() | parts.found.keys())
    pieces = list(_pieces(order, place_of_old, parts))
    pairs = Pairs(
        [
            parts.found[pair][0] if pair in parts.found else old.states[at]
            for pair in order
            for at in [place_of_old.get(pair, -1)]
        ],
        _counts(pieces, old, parts),
    )
    pairs.write(layout.pairs(generation))
    noted: dict[str, TablePart] = {}
    tables = {
        name: _write_table(
            layout,
            name,
            generation,
            _rows(layout, manifest, name, pieces, old, parts),
            noted,
        )
        for name in SCHEMAS
    }
    return Manifest(
        generation=generation,
        tables=tables,
        parts=noted,
        scenarios=manifest.scenarios,
    )


def _pieces(
    order: Sequence[tuple[str, str]],
    place_of_old: dict[tuple[str, str], int],
    parts: Parts,
) -> Iterator[_Old | _New]:
    """Say where the pairs come from, those together that lie together."""
    piece: _Old | _New | None = None
    for pair in order:
        if pair in parts.found:
            where = parts.found[pair][1]
            if isinstance(piece, _New) and where == piece.where._replace(
                row=piece.where.row + piece.n_pairs
            ):
                piece = piece._replace(n_pairs=piece.n_pairs + 1)
                continue
            follows: _Old | _New = _New(where, 1)
        else:
            at = place_of_old[pair]
            if isinstance(piece, _Old) and at == piece.last + 1:
                piece = piece._replace(last=at)
                continue
            follows = _Old(at, at)
        if piece is not None:
            yield piece
        piece = follows
    if piece is not None:
        yield piece


def _counts(
    pieces: Iterable[_Old | _New], old: Pairs, parts: Parts
) -> dict[str, NDArray[np.int64]]:
    """Count the rows of each pair in each table."""
    found: dict[str, list[Any]] = {name: [np.zeros(0, np.int64)] for name in SCHEMAS}
    for piece in pieces:
        if isinstance(piece, _Old):
            for name, counts in old.n_rows.items():
                found[name].append(counts[piece.first : piece.last + 1])
        else:
            batch = parts.batch(piece.where.part, piece.where.batch)
            inside = n_rows(batch.slice(piece.where.row, piece.n_pairs))
            for name, numbers in inside.items():
                found[name].append(np.array(numbers, np.int64))
    return {name: np.concatenate(lists) for name, lists in found.items()}


def _rows(
    layout: DatasetLayout,
    manifest: Manifest,
    name: str,
    pieces: Iterable[_Old | _New],
    old: Pairs,
    parts: Parts,
) -> Iterator[pa.RecordBatch]:
    """Go through a table's rows of all pairs."""
    files = [layout.root / file for file in manifest.tables.get(name, [])]
    before = np.concatenate([[0], np.cumsum(old.n_rows[name])])
    check_table(layout, manifest, name, int(before[-1]))
    there = _Stored(files, name)
    held: list[pa.RecordBatch] = []
    n_held = n_bytes = 0
    for piece in pieces:
        if isinstance(piece, _New):
            batch = parts.batch(piece.where.part, piece.where.batch)
            held.append(batch.slice(piece.where.row, piece.n_pairs))
            n_held += piece.n_pairs
            n_bytes += held[-1].column(name).nbytes
            if n_held < TOGETHER and n_bytes < GROUP_BYTES:
                continue
        if held:
            yield flat(held, name)
            held = []
            n_held = n_bytes = 0
        if isinstance(piece, _Old):
            yield from there.rows(int(before[piece.first]), int(before[piece.last + 1]))
    if held:
        yield flat(held, name)


class _Stored:
    """Rows of a table's files, gone through once from the first on."""

    def __init__(self, files: Sequence[Place], name: str) -> None:
        self._place = files[-1].parent if files else Place(name)
        self._batches = self._read(files, name)
        self._batch: pa.RecordBatch | None = None
        # rows before the batch in hand
        self._passed = 0

    def rows(self, start: int, end: int) -> Iterator[pa.RecordBatch]:
        """Give some rows; they lie behind those that were given before."""
        while start < end:
            if self._batch is None:
                self._batch = next(self._batches, None)
            if self._batch is None:
                raise damaged(self._place, "its last rows are missing")
            behind = self._passed + self._batch.num_rows
            if start < behind:
                part = self._batch.slice(start - self._passed, end - start)
                yield part
                start += part.num_rows
            if start >= behind:
                self._passed = behind
                self._batch = None

    @staticmethod
    def _read(files: Sequence[Place], name: str) -> Iterator[pa.RecordBatch]:
        for place in files:
            with opened_table(place, name) as file:
                for batch in file.iter_batches(GROUP_ROWS, use_threads=False):
                    with intact(place):
                        batch.validate(full=True)
                    yield batch


def _write_table(
    layout: DatasetLayout,
    name: str,
    generation: int,
    rows: Iterable[pa.RecordBatch],
    noted: dict[str, TablePart],
) -> list[str]:
    """Write a table's files and note them; return their names, relative to the dataset.

    On this machine they are put aside. An object cannot be renamed: there they lie in
    their place, which nobody minds who reads by the manifest.
    """
    local = layout.root.local is not None
    folder = (layout.new if local else layout.root) / name
    folder.make_directory()
    written: list[str] = []
    remaining = iter(_groups(rows, SCHEMAS[name]))
    group = next(remaining, None) or pa.Table.from_batches([], SCHEMAS[name])
    while group is not None:
        file = f"part-{generation:04}-{len(written):05}.parquet"
        group = _write_file(folder / file, name, group, remaining)
        written.append(f"{name}/{file}")
        noted[written[-1]] = part_of(folder / file)
    return written


def _write_file(
    place: Place, name: str, group: pa.Table, remaining: Iterator[pa.Table]
) -> pa.Table | None:
    """Write one file, row groups as they come; return the first of the next file."""
    labels = {"replay.table": name, "replay.writer": WRITER}
    n_rows_written = n_bytes = 0
    following: pa.Table | None = group
    with place.created() as sink:
        schema = SCHEMAS[name].with_metadata(labels)
        with pq.ParquetWriter(
            sink, schema, compression="zstd", write_page_checksum=True
        ) as writer:
            while following is not None:
                writer.write_table(following, row_group_size=GROUP_ROWS)
                n_rows_written += following.num_rows
                n_bytes += following.nbytes
                following = next(remaining, None)
                if n_rows_written >= FILE_ROWS or n_bytes >= FILE_BYTES:
                    break
    if (path := place.local) is not None:
        sync(path)
    return following


def _groups(rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Put rows together until they make a row group."""
    held: list[pa.RecordBatch] = []
    n_held = n_bytes = 0
    for batch in rows:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, GROUP_ROWS - n_held)
            start += part.num_rows
            held.append(part)
            n_held += part.num_rows
            n_bytes += part.nbytes
            if n_held >= GROUP_ROWS or n_bytes >= GROUP_BYTES:
                yield pa.Table.from_batches(held, schema)
                held = []
                n_held = n_bytes = 0
    if held:
        yield pa.Table.from_batches(held, schema)
