"""What requests are for: data, a file system's metadata, its journal, or a flush."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.results.arrays import coded
from replay.trace.file.schema import FLAGS, OP_CODES

#: Rows that a summary reads at once.
MOST_SUMMED: Final = 5_000_000
KINDS: Final = ("data", "metadata", "journal", "flush")
_DATA, _METADATA, _JOURNAL, _FLUSH = range(len(KINDS))


def kind_codes(
    op: NDArray[np.int8], flags: NDArray[np.uint16], by_journal: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Return the kind of each request.

    Parameters
    ----------
    op : ndarray of int8, shape (n,)
    flags : ndarray of uint16, shape (n,)
    by_journal : ndarray of bool, shape (n,)
        A thread of a file system's journal issued it.

    Returns
    -------
    ndarray of int8, shape (n,)
        Indices into `KINDS`.
    """
    meta = flags & FLAGS["meta"] != 0
    kinds = np.where(meta, np.int8(_METADATA), np.int8(_DATA))
    kinds[(flags & FLAGS["fua"] != 0) | (by_journal & meta)] = _JOURNAL
    kinds[op == OP_CODES["flush"]] = _FLUSH
    return kinds


def by_kind(requests: pa.Table) -> list[dict[str, Any]]:
    """Sum requests up by issuer, payer and kind.

    Parameters
    ----------
    requests : pyarrow.Table
        As of `Result.requests`.

    Returns
    -------
    list of dict
        ``issuer payer kind requests bytes failed mean_ns p50_ns p99_ns max_ns``; times
        are of those that completed, null for none. In order of issuer, payer and kind.
    """
    issuer, payer = coded(requests["issuer"]), coded(requests["payer"])
    kind = coded(requests["kind"])
    order_of_kind = np.array([KINDS.index(word) for word in kind.words], np.int64)
    columns = (issuer.ranks(), payer.ranks(), order_of_kind[kind.codes])
    if not requests.num_rows:
        return []
    order = np.lexsort(columns[::-1])
    steps = [np.diff(column[order], prepend=-1) != 0 for column in columns]
    groups = np.split(order, np.flatnonzero(np.logical_or.reduce(steps))[1:])
    nbytes = requests["nbytes"].to_numpy()
    failed = requests["errno"].to_numpy() != 0
    done = requests["completion_ns"].is_valid().to_numpy()
    done &= requests["arrival_ns"].is_valid().to_numpy()
    ends, begins = (
        requests[name].fill_null(0).to_numpy()
        for name in ("completion_ns", "arrival_ns")
    )
    took = ends - begins
    rows = []
    for mine in groups:
        first = int(mine[0])
        times = np.sort(took[mine[done[mine]]])
        rows.append(
            {
                "issuer": issuer.words[issuer.codes[first]],
                "payer": payer.words[payer.codes[first]],
                "kind": kind.words[kind.codes[first]],
                "requests": len(mine),
                "bytes": int(nbytes[mine].sum()),
                "failed": int(failed[mine].sum()),
                "mean_ns": int(times.sum()) // len(times) if len(times) else None,
                "p50_ns": _rank(times, 50),
                "p99_ns": _rank(times, 99),
                "max_ns": int(times[-1]) if len(times) else None,
            }
        )
    return rows


def _rank(times: NDArray[np.int64], percent: int) -> int | None:
    """Return the nearest rank."""
    return int(times[-(-len(times) * percent // 100) - 1]) if len(times) else None
