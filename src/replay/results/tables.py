"""From the engine's columns to Arrow tables.

Pure functions over whole columns. The engine counts what each cgroup did itself, with
dense ids and in pages; here descendants are added up, ids become names and pages
become bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from replay.common.unique import distinct
from replay.engine.raw import (
    IO_COLUMNS,
    IOCOST_COLUMNS,
    SUB_BUCKETS,
    TIMELINE_CELLS,
    Raw,
)
from replay.engine.setup import BACKING_DEVICE, PAGE_BYTES, Resource, Stage
from replay.results.arrays import Words, integers
from replay.results.kinds import KINDS
from replay.results.schema import TABLES
from replay.trace.file.schema import OPS

#: Columns of one raw table; all have the same length.
Columns = Mapping[str, NDArray[Any]]
#: Rows that are made into a table at once, and of a row group in its file. A text takes
#: far more room as such than as a number: a run has two million buckets and more.
PART_ROWS: Final = 1 << 17
#: Stages of a request, without their sum.
STAGE_NAMES: Final = tuple(s.name.lower() for s in Stage if s is not Stage.TOTAL)
_ALL_STAGES: Final = tuple(stage.name.lower() for stage in Stage)
#: Waiting cgroups beyond those that one queue tells apart.
OTHERS: Final = "(others)"
_RESOURCES: Final = tuple(resource.name.lower() for resource in Resource)
_EVENTS: Final = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill")
_IntArray = NDArray[np.int64]


class Names(Struct, frozen=True, kw_only=True):
    """The meaning of a run's dense ids.

    Attributes
    ----------
    cgroups : sequence of str
        Path or ``id:N`` of each cgroup; the first is ``/``.
    parents : ndarray of int32, shape (n_cgroups,)
        Parent of each cgroup, -1 for the root alone.
    devices : sequence of str
        ``major:minor`` of each replayed device.
    tasks : sequence of str
        Names of the tasks that can be killed.
    backing : str or None
        ``major:minor`` of the device below, if the scenario names one.
    interval_ns : int
        Length of the timeline's intervals, if there is one.
    """

    cgroups: Sequence[str]
    parents: NDArray[np.int32]
    devices: Sequence[str]
    tasks: Sequence[str] = ()
    backing: str | None = None
    interval_ns: int = 0


class RecordedRequests(Struct, frozen=True, kw_only=True):
    """What the trace has of requests, each array of shape (n,).

    Attributes
    ----------
    op : ndarray of int8
        Index into `replay.trace.file.schema.OPS`, as it was replayed.
    sector : ndarray of uint64
    nbytes : ndarray of uint32
    pid : ndarray of int32
    process : ndarray of int32
        Position in the names of processes, -1 where it has none.
    kind : ndarray of int8
        Index into `replay.results.kinds.KINDS`.
    """

    op: NDArray[np.int8]
    sector: NDArray[np.uint64]
    nbytes: NDArray[np.uint32]
    pid: NDArray[np.int32]
    process: NDArray[np.int32]
    kind: NDArray[np.int8]


class RequestLookup(Protocol):
    """Looks up what the trace has of requests."""

    @property
    def processes(self) -> Sequence[str]:
        """Names that `RecordedRequests.process` numbers."""
        ...

    def __call__(self, rows: NDArray[np.int64]) -> RecordedRequests:
        """Look up rows of the trace, in any order."""
        ...


def add_up(parents: NDArray[np.integer[Any]], own: _IntArray) -> _IntArray:
    """Add to each cgroup what its descendants have.

    Parameters
    ----------
    parents : ndarray of int, shape (n,)
        Parent of each cgroup, -1 for a root.
    own : ndarray of int64, shape (n, k)
        What each cgroup has itself.

    Returns
    -------
    ndarray of int64, shape (n, k)
        Each cgroup with its descendants, exact.

    Notes
    -----
    O(n log n log depth) and no loop over rows or levels, so neither many cgroups nor
    deep ones are slow. Before round r, ``total[c]`` holds c and its descendants less
    than 2**r levels below, and ``above[c]`` is the ancestor 2**r levels above c: what
    lies 2**r to 2**(r+1) - 1 levels below a is the sum of ``total`` over all c with
    ``above[c] == a``.
    """
    total = own.astype(np.int64)
    above = parents.astype(np.int64)
    while True:
        below = np.flatnonzero(above >= 0)
        if not below.size:
            return total
        below = below[np.argsort(above[below], kind="stable")]
        target = above[below]
        first = np.flatnonzero(np.diff(target, prepend=-1))
        sums = np.add.reduceat(total[below], first, axis=0)
        total[target[first]] += sums
        above[below] = above[target]


def build_tables(raw: Raw, names: Names) -> dict[str, pa.Table]:
    """Make every table but ``requests`` from what the engine counted.

    Parameters
    ----------
    raw, names
        As of `tables_in_parts`.

    Returns
    -------
    dict of str to pyarrow.Table
        In the order of `replay.results.schema.TABLES`.
    """
    return {
        name: pa.concat_tables(parts) for name, parts in tables_in_parts(raw, names)
    }


def tables_in_parts(raw: Raw, names: Names) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """Make every table but ``requests`` from what the engine counted, part by part.

    Parameters
    ----------
    raw : mapping of str to columns
        Tables ``io backing_io charges memory latency histograms interference workers
        kills errors``, and ``timeline`` if there is one; rows in the order of their
        keys, memory one row per cgroup.
    names : Names
        What the ids stand for.

    Yields
    ------
    tuple of str and iterator of pyarrow.Table
        Name and parts of a table, in the order of `replay.results.schema.TABLES`. There
        is at least one part; each but the last has `PART_ROWS` rows, but for tables
        with a row a cgroup, which are one part.
    """
    lookup = _Lookup(names)
    whole: dict[str, Callable[[], list[pa.Array]]] = {
        "io_stat": lambda: _io_stat(raw, names, lookup),
        "memory": lambda: _memory(raw["memory"], names, lookup),
    }
    by_rows: dict[str, Callable[[Columns], list[pa.Array]]] = {
        "charges": lambda rows: _charges(rows, lookup),
        "latency": lambda rows: _latency(rows, lookup),
        "histograms": lambda rows: _histograms(rows, lookup),
        "interference": lambda rows: _interference(rows, lookup),
        "workers": lambda rows: _workers(rows, lookup),
        "kills": lambda rows: _kills(rows, lookup),
        "errors": lambda rows: _errors(rows, lookup),
        "timeline": lambda rows: _timeline(rows, names, lookup),
    }
    for name, spec in TABLES.items():
        if name in whole:
            yield name, iter([pa.Table.from_arrays(whole[name](), schema=spec.schema)])
        elif name in by_rows and name in raw:
            make = by_rows[name]
            yield (
                name,
                (
                    pa.Table.from_arrays(make(rows), schema=spec.schema)
                    for rows in _parts(raw[name])
                ),
            )


def _parts(columns: Columns) -> Iterator[Columns]:
    """Cut a raw table's rows; one without rows is one part."""
    n_rows = len(next(iter(columns.values())))
    for start in range(0, max(n_rows, 1), PART_ROWS):
        yield {
            name: values[start : start + PART_ROWS] for name, values in columns.items()
        }


class RequestConverter:
    """Turns raw ``requests`` columns into record batches; names are looked up once."""

    def __init__(self, names: Names, recording: RequestLookup) -> None:
        self._lookup = _Lookup(names)
        self._recording = recording
        self._ops = Words(OPS)
        self._kinds = Words(KINDS)
        self._processes = Words(recording.processes)

    def batch(self, columns: Columns) -> pa.RecordBatch:
        """Make one batch of the requests table.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (n,)
            ``row arrival_ns start_ns completion_ns issuer payer device worker error``
            and one ``STAGE_ns`` per stage. A time of -1 was not reached.

        Returns
        -------
        pyarrow.RecordBatch
            May share memory with ``columns``.
        """
        lookup = self._lookup
        start = columns["start_ns"]
        recorded = self._recording(columns["row"])
        arrays = [
            integers(columns["row"], pa.int64()),
            lookup.device(columns["device"]),
            self._ops(recorded.op),
            integers(recorded.sector, pa.uint64()),
            integers(recorded.nbytes, pa.int64()),
            integers(recorded.pid, pa.int32()),
            self._processes.known(recorded.process),
            self._kinds(recorded.kind),
            lookup.cgroup(columns["issuer"]),
            lookup.cgroup(columns["payer"]),
            integers(columns["worker"], pa.uint32(), absent=start < 0),
            _time_or_null(columns["arrival_ns"]),
            _time_or_null(start),
            _time_or_null(columns["completion_ns"]),
            _errno(columns["error"]),
            *(integers(columns[f"{stage}_ns"], pa.int64()) for stage in STAGE_NAMES),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=TABLES["requests"].schema)


class _Lookup:
    """Names by dense id, whole columns at a time."""

    def __init__(self, names: Names) -> None:
        # the engine numbers what it does not tell apart behind the last cgroup
        self.cgroup: Final = Words([*names.cgroups, OTHERS])
        self.device: Final = Words(names.devices)
        self.task: Final = Words(names.tasks)


def _word(words: Sequence[str], codes: NDArray[Any]) -> pa.Array:
    return Words(words)(codes)


def _numbers(columns: Columns, names: Sequence[str]) -> list[pa.Array]:
    return [integers(columns[name], pa.int64()) for name in names]


def _time_or_null(times: NDArray[Any]) -> pa.Array:
    return integers(times, pa.int64(), absent=times < 0)


def _errno(codes: NDArray[Any]) -> pa.Array:
    return integers(np.abs(codes), pa.int32())


def _charges(raw: Columns, lookup: _Lookup) -> list[pa.Array]:
    memory = ("charged_bytes", "uncharged_bytes", "refused_bytes")
    return [
        lookup.device(raw["device"]),
        lookup.cgroup(raw["issuer"]),
        lookup.cgroup(raw["payer"]),
        *_numbers(raw, IO_COLUMNS),
        *_numbers(raw, memory),
    ]


def _io_stat(raw: Raw, names: Names, lookup: _Lookup) -> list[pa.Array]:
    if names.backing is not None and names.backing in names.devices:
        raise ValueError(f"{names.backing} is both replayed and the device below")
    io, backing = raw["io"], raw["backing_io"]
    above, below = _io_counters(io), _io_counters(backing)
    used = distinct(io["device"][above.any(axis=1)])
    devices = [names.devices[device] for device in used]
    if names.backing is not None and below.any():
        devices.append(names.backing)

    n_cgroups, n_devices = len(names.cgroups), len(devices)
    n_columns = len(IO_COLUMNS) + len(IOCOST_COLUMNS)
    own = np.zeros((n_cgroups, n_devices, n_columns), np.int64)
    counters = own[:, :, : len(IO_COLUMNS)]
    if devices:
        # rows of a device that saw nothing find a wrong place here, and add zeros there
        place = np.minimum(np.searchsorted(used, io["device"]), n_devices - 1)
        np.add.at(counters, (io["cgroup"], place), above)
        last = np.full(len(below), n_devices - 1)
        np.add.at(counters, (backing["cgroup"], last), below)
        cost = raw["cost"]
        place = np.searchsorted(used, cost["device"])
        place[cost["device"] == BACKING_DEVICE] = n_devices - 1
        for i, name in enumerate(IOCOST_COLUMNS, len(IO_COLUMNS)):
            own[cost["cgroup"], place, i] = cost[name]
    total = add_up(names.parents, own.reshape(n_cgroups, -1))
    table = total.reshape(-1, n_columns)
    return [
        lookup.cgroup(np.repeat(np.arange(n_cgroups), n_devices)),
        _word(devices, np.tile(np.arange(n_devices), n_cgroups)),
        *(integers(column, pa.int64()) for column in table.T),
    ]


def _io_counters(raw: Columns) -> _IntArray:
    """Return the counters side by side, shape (n_rows, 6)."""
    return np.stack([raw[name] for name in IO_COLUMNS], axis=1).astype(np.int64)


def _memory(raw: Columns, names: Names, lookup: _Lookup) -> list[pa.Array]:
    """As ``memory.stat``: file holds tmpfs too, both with descendants."""
    n_cgroups = len(names.cgroups)
    if len(raw["current"]) != n_cgroups:
        raise ValueError(f"{len(raw['current'])} memory rows for {n_cgroups} cgroups")
    shmem = raw["own_shmem"]
    file = raw["own_file"] + shmem
    own = np.stack(
        [
            *(file, shmem, raw["own_rss"], raw["own_kernel"]),
            *(raw["own_refaults"], raw["own_activations"]),
        ],
        axis=1,
    )
    *total, refaults, activations = add_up(names.parents, own).T
    pages = [raw["current"], raw["peak"], *total, file, shmem]
    return [
        lookup.cgroup(np.arange(n_cgroups)),
        *(integers(column * PAGE_BYTES, pa.int64()) for column in pages),
        *_numbers(raw, _EVENTS),
        *(integers(one, pa.int64()) for one in (refaults, activations)),
    ]


def _latency(raw: Columns, lookup: _Lookup) -> list[pa.Array]:
    mean = raw["sum_ns"] // np.maximum(raw["count"], 1)
    names = ("min_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")
    return [
        lookup.cgroup(raw["cgroup"]),
        lookup.device(raw["device"]),
        _word(OPS, raw["op"]),
        _word(_ALL_STAGES, raw["stage"]),
        integers(raw["count"], pa.int64()),
        integers(raw["sum_ns"], pa.int64()),
        integers(mean, pa.int64()),
        *_numbers(raw, names),
    ]


def _histograms(raw: Columns, lookup: _Lookup) -> list[pa.Array]:
    """Replace buckets by the values that they hold; see ``bucket_of`` in the engine."""
    octave, part = np.divmod(raw["bucket"].astype(np.int64), SUB_BUCKETS)
    shift = np.maximum(octave - 1, 0)
    low = np.where(octave > 0, part + SUB_BUCKETS, part) << shift
    return [
        lookup.cgroup(raw["cgroup"]),
        lookup.device(raw["device"]),
        _word(OPS, raw["op"]),
        _word(_ALL_STAGES, raw["stage"]),
        integers(low, pa.int64()),
        integers(low + (1 << shift) - 1, pa.int64()),
        integers(raw["count"], pa.int64()),
    ]


def _interference(raw: Columns, lookup: _Lookup) -> list[pa.Array]:
    return [
        lookup.cgroup(raw["waiting"]),
        lookup.cgroup(raw["blocking"]),
        _word(_RESOURCES, raw["resource"]),
        *_numbers(raw, ("wait_ns", "count")),
    ]


def _workers(raw: Columns, lookup: _Lookup) -> list[pa.Array]:
    return [
        lookup.device(raw["device"]),
        integers(raw["worker"], pa.uint32()),
        lookup.cgroup(raw["cgroup"]),
        *_numbers(raw, ("created_ns", "commands", "busy_ns", "idle_ns")),
        _time_or_null(raw["reaped_ns"]),
    ]


def _kills(raw: Columns, lookup: _Lookup) -> list[pa.Array]:
    return [
        integers(raw["time_ns"], pa.int64()),
        lookup.cgroup(raw["limit_cgroup"]),
        lookup.cgroup(raw["victim_cgroup"]),
        lookup.task(raw["task"]),
        *_numbers(raw, ("usage_bytes", "row")),
    ]


def _timeline(raw: Columns, names: Names, lookup: _Lookup) -> list[pa.Array]:
    interval = raw["interval"]
    return [
        integers(interval, pa.int64()),
        integers(interval * names.interval_ns, pa.int64()),
        lookup.cgroup(raw["cgroup"]),
        *_numbers(raw, TIMELINE_CELLS),
    ]


def _errors(raw: Columns, lookup: _Lookup) -> list[pa.Array]:
    return [
        lookup.cgroup(raw["cgroup"]),
        _errno(raw["errno"]),
        *_numbers(raw, ("count", "bytes", "first_ns")),
    ]
