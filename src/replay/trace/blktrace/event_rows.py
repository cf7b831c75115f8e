"""Every record of a blktrace capture as a row.

For questions that requests do not answer: plugs, remaps, splits, what a process did.
The file is an Arrow IPC file or Parquet; its columns are `EVENT_SCHEMA`.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import ipc

from replay.trace.blktrace.batches import EVENT_NAMES
from replay.trace.file.metadata import Metadata
from replay.trace.file.schema import OPS

#: Under it the metadata stands, with the last batch, or in Parquet's own.
EVENTS_KEY: Final = b"replay-events"
BATCH_ROWS: Final = 1 << 16
#: Text of one batch; most records have none.
TEXT_BYTES: Final = 1 << 21
ACTIONS: Final = (*EVENT_NAMES, "process", "timestamp", "message", "unknown")


def _field(
    name: str, type_: pa.DataType, unit: str, text: str, *, null: bool = False
) -> pa.Field:
    metadata = {"unit": unit, "description": text}
    return pa.field(name, type_, nullable=null, metadata=metadata)


_NAMES: Final = pa.dictionary(pa.int8(), pa.string())
EVENT_SCHEMA: Final = pa.schema(
    [
        _field(
            "time_ns",
            pa.int64(),
            "ns",
            "since the first event; of a note as it was recorded, so it may be earlier",
        ),
        _field(
            "action",
            _NAMES,
            "",
            "blktrace's letter; of a note process, timestamp or message; else unknown",
        ),
        _field("device", pa.uint32(), "", "traced device, major << 20 | minor"),
        _field(
            "sector", pa.uint64(), "512 B sectors", "first; null of a note", null=True
        ),
        _field("nbytes", pa.uint32(), "bytes", "length; null of a note", null=True),
        _field("op", _NAMES, "", "operation; null of a note", null=True),
        _field(
            "flags",
            pa.uint16(),
            "bits",
            "sync 1, meta 2, fua 4, preflush 8, readahead 16; null of a note",
            null=True,
        ),
        _field("cgroup", pa.uint64(), "", "cgroup id that the record carries; 0 none"),
        _field("pid", pa.int32(), "", "process that ran when it was recorded"),
        _field("cpu", pa.uint16(), "", "CPU that recorded it"),
        _field(
            "sequence", pa.uint32(), "", "number on its CPU; null of a note", null=True
        ),
        _field("error", pa.int32(), "errno", "0 none; null of a note", null=True),
        _field(
            "other_sector",
            pa.uint64(),
            "512 B sectors",
            "X: where the rest begins; A: the sector before the remap; else null",
            null=True,
        ),
        _field(
            "other_device",
            pa.uint32(),
            "",
            "A: the device before the remap; else null",
            null=True,
        ),
        _field(
            "text",
            pa.string(),
            "",
            "of a note: process name, seconds since 1970, message (what is not ASCII as"
            " \\xNN); else empty",
        ),
    ]
)
_N_FIXED: Final = len(EVENT_SCHEMA) - 1
#: Columns that notes have nothing in; then those with bitmaps of their own.
_OF_EVENTS: Final = ("sector", "nbytes", "op", "flags", "sequence", "error")
_BITMAP_OF: Final = {
    **dict.fromkeys(_OF_EVENTS, 0),
    "other_sector": 1,
    "other_device": 2,
}


def _names(values: Sequence[str]) -> pa.Array:
    offsets = array("i", accumulate((len(one) for one in values), initial=0))
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer(offsets), pa.py_buffer("".join(values).encode())
    )


_DICTIONARIES: Final = {"action": _names(ACTIONS), "op": _names(OPS)}


def fill_batch(fill: Callable[[list[pa.Buffer], int], int]) -> pa.RecordBatch | None:
    """Fill one batch; None at the end. There is a record in any source that opens."""
    buffers = _allocate(BATCH_ROWS)
    n_rows = fill(buffers, BATCH_ROWS)
    return _batch(buffers, n_rows) if n_rows else None


def _allocate(n_rows: int) -> list[pa.Buffer]:
    widths = [
        1 if pa.types.is_dictionary(field.type) else field.type.bit_width // 8
        for field in list(EVENT_SCHEMA)[:_N_FIXED]
    ]
    sizes = [n_rows * width for width in widths]
    sizes += [4 * (n_rows + 1), TEXT_BYTES, *[(n_rows + 7) // 8] * 3]
    buffers = []
    for size in sizes:
        buffer = pa.allocate_buffer(size)
        np.frombuffer(buffer, np.uint8).fill(0)
        buffers.append(buffer)
    return buffers


def _batch(buffers: list[pa.Buffer], n_rows: int) -> pa.RecordBatch:
    bitmaps = buffers[_N_FIXED + 2 :]
    n_null = [n_rows - _bits(bitmap, n_rows) for bitmap in bitmaps]
    columns = []
    for field, values in zip(EVENT_SCHEMA, buffers, strict=False):
        which = _BITMAP_OF.get(field.name)
        valid, nulls = (None, 0) if which is None else (bitmaps[which], n_null[which])
        if field.name in _DICTIONARIES:
            codes = pa.Array.from_buffers(pa.int8(), n_rows, [valid, values], nulls)
            names = _DICTIONARIES[field.name]
            column = pa.DictionaryArray.from_arrays(codes, names, safe=False)
        elif field.name == "text":
            column = pa.StringArray.from_buffers(
                n_rows, values, buffers[_N_FIXED + 1], None, 0
            )
        else:
            column = pa.Array.from_buffers(field.type, n_rows, [valid, values], nulls)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def _bits(bitmap: pa.Buffer, n_rows: int) -> int:
    return int(np.unpackbits(np.frombuffer(bitmap, np.uint8))[: n_rows + 7].sum())


def write_arrow(
    path: Path, rows: Iterator[pa.RecordBatch], finish: Callable[[], Metadata]
) -> None:
    """Write batches as an Arrow IPC file, the metadata with the last one."""
    with (
        pa.OSFile(str(path), "wb") as file,
        ipc.new_file(file, EVENT_SCHEMA) as writer,
    ):
        held = None
        for batch in rows:
            if held is not None:
                writer.write_batch(held)
            held = batch
        text = msgspec.json.encode(finish())
        writer.write_batch(held, {EVENTS_KEY: text})


def write_parquet(
    path: Path, rows: Iterator[pa.RecordBatch], finish: Callable[[], Metadata]
) -> None:
    """Write batches as a Parquet file."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, EVENT_SCHEMA, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)
        text = msgspec.json.encode(finish())
        writer.add_key_value_metadata({EVENTS_KEY: text})
