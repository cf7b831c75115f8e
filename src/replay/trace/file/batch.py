"""A batch of a trace's rows, made of the buffers of its columns."""

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.trace.file.schema import NOT_SEEN_NS, OPS, TRACE_SCHEMA

#: Columns of times, which come first.
N_TIMES: Final = 4


def _op_names() -> pa.Array:
    """Make the ``op`` column's dictionary.

    From buffers: ``pa.array`` of a Python list imports pandas where it is installed,
    which takes longer than decoding a million records.
    """
    offsets = array("i", accumulate((len(op) for op in OPS), initial=0))
    return pa.StringArray.from_buffers(
        len(OPS), pa.py_buffer(offsets), pa.py_buffer("".join(OPS).encode())
    )


_OP_NAMES: Final = _op_names()


def row_widths() -> list[int]:
    """Bytes of a row in each column of `TRACE_SCHEMA`."""
    return [
        1 if pa.types.is_dictionary(field.type) else field.type.bit_width // 8
        for field in TRACE_SCHEMA
    ]


def allocate(n_rows: int) -> list[pa.Buffer]:
    """Make the buffers of a batch, one a column of `TRACE_SCHEMA`."""
    return [pa.allocate_buffer(n_rows * width) for width in row_widths()]


def make_batch(
    buffers: list[pa.Buffer], n_rows: int, n_null: Sequence[int]
) -> pa.RecordBatch:
    """Show filled buffers as a batch; no value is copied.

    Parameters
    ----------
    buffers : list of Buffer
        One a column of `TRACE_SCHEMA`; times that were not seen are -1.
    n_rows : int
    n_null : sequence of int
        How many were not seen of the times.

    Returns
    -------
    RecordBatch
    """
    arrays = []
    for number, field in enumerate(TRACE_SCHEMA):
        bitmap = None
        nulls = 0
        if number < N_TIMES and n_null[number]:
            bitmap = _seen(buffers[number], n_rows)
            nulls = n_null[number]
        if pa.types.is_dictionary(field.type):
            codes = pa.Array.from_buffers(pa.int8(), n_rows, [None, buffers[number]], 0)
            column = pa.DictionaryArray.from_arrays(codes, _OP_NAMES, safe=False)
        else:
            column = pa.Array.from_buffers(
                field.type, n_rows, [bitmap, buffers[number]], nulls
            )
        arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, schema=TRACE_SCHEMA)


def _seen(times: pa.Buffer, n_rows: int) -> pa.Buffer:
    """Make the validity bitmap of times."""
    seen = np.frombuffer(times, np.int64, n_rows) != NOT_SEEN_NS
    return pa.py_buffer(np.packbits(seen, bitorder="little"))


def batch_of(columns: Mapping[str, NDArray[Any]]) -> pa.RecordBatch:
    """Make a batch of arrays.

    Parameters
    ----------
    columns : mapping of str to ndarray
        By names of `TRACE_SCHEMA`; times that were not seen are -1, and stay so under
        their null.

    Returns
    -------
    RecordBatch
    """
    buffers = [
        pa.py_buffer(np.ascontiguousarray(columns[field.name]))
        for field in TRACE_SCHEMA
    ]
    n_null = [
        int(np.count_nonzero(columns[TRACE_SCHEMA.field(index).name] == NOT_SEEN_NS))
        for index in range(N_TIMES)
    ]
    return make_batch(buffers, len(columns["device"]), n_null)
