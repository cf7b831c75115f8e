"""Requests of a disk as a trace has them: what it is identified from."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

#: Requests of one device that are looked at, its first ones: some 200 MB of memory.
MOST_REQUESTS: Final = 1 << 21


class Seen(Struct, frozen=True, kw_only=True):
    """Requests of one device that completed, each array of shape (n,), by queue time.

    Attributes
    ----------
    queue, first, issue, complete : ndarray of int64
        ns; ``first`` is the first issue and ``issue`` the last.
    sector : ndarray of int64
    nbytes : ndarray of int64
    op : ndarray of int8
    cgroup : ndarray of uint64
    """

    queue: NDArray[np.int64]
    first: NDArray[np.int64]
    issue: NDArray[np.int64]
    complete: NDArray[np.int64]
    sector: NDArray[np.int64]
    nbytes: NDArray[np.int64]
    op: NDArray[np.int8]
    cgroup: NDArray[np.uint64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.queue)

    def take(self, index: Any) -> "Seen":
        """Return some of them."""
        return Seen(
            **{name: getattr(self, name)[index] for name in self.__struct_fields__}
        )


def read_requests(
    batches: Iterable[pa.RecordBatch], devices: Sequence[int], until_ns: int | None
) -> list[Seen]:
    """Read the first requests of each device."""
    found: list[list[dict[str, NDArray[Any]]]] = [[] for _ in devices]
    n_found = [0] * len(devices)
    for batch in batches:
        if all(n >= MOST_REQUESTS for n in n_found):
            break
        for at, device in enumerate(devices):
            if n_found[at] < MOST_REQUESTS:
                rows = _of_device(batch, device, until_ns)
                n_found[at] += len(rows["queue"])
                found[at].append(rows)
    return [_joined(parts) for parts in found]


def _of_device(
    batch: pa.RecordBatch, device: int, until_ns: int | None
) -> dict[str, NDArray[Any]]:
    """Return the requests of a batch that a device was seen to complete."""
    wanted = pc.equal(batch.column("device"), device)
    for name in ("queue_ns", "issue_ns", "complete_ns"):
        wanted = pc.and_(wanted, pc.is_valid(batch.column(name)))
    if until_ns is not None:
        wanted = pc.and_(wanted, pc.less(batch.column("complete_ns"), until_ns))
    rows = batch.filter(pc.fill_null(wanted, False))
    issue = rows.column("issue_ns")
    last = issue
    if "last_issue_ns" in batch.schema.names:
        last = pc.coalesce(rows.column("last_issue_ns"), issue)
    op = rows.column("op")
    if pa.types.is_dictionary(op.type):
        op = op.indices
    return {
        "queue": rows.column("queue_ns").to_numpy(zero_copy_only=False),
        "first": issue.to_numpy(zero_copy_only=False),
        "issue": last.to_numpy(zero_copy_only=False),
        "complete": rows.column("complete_ns").to_numpy(zero_copy_only=False),
        "sector": rows.column("sector").to_numpy(zero_copy_only=False),
        "nbytes": rows.column("nbytes").to_numpy(zero_copy_only=False),
        "op": op.to_numpy(zero_copy_only=False),
        "cgroup": rows.column("cgroup").to_numpy(zero_copy_only=False),
    }


def _joined(parts: list[dict[str, NDArray[Any]]]) -> Seen:
    """Put a device's requests behind one another, by queue time."""
    types = {"op": np.int8, "cgroup": np.uint64}
    columns = {
        name: np.concatenate([np.zeros(0), *(part[name] for part in parts)]).astype(
            types.get(name, np.int64)
        )
        if name not in ("cgroup",)
        else np.concatenate(
            [np.zeros(0, np.uint64), *(part[name].astype(np.uint64) for part in parts)]
        )
        for name in Seen.__struct_fields__
    }
    seen = Seen(**columns)
    return seen.take(np.argsort(seen.queue, kind="stable"))
