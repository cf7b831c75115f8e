"""The structs of ``state/sim.pxd`` that leave the engine, as numpy dtypes, and back.

`raw_tables` turns them into the columns of `replay.engine.raw`, sorted by their keys.
A test holds names and offsets against the compiler's.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.common.unique import numbered
from replay.engine.raw import (
    COUNTS,
    IO_COLUMNS,
    IOCOST_COLUMNS,
    RAW_COLUMNS,
    TIMELINE_CELLS,
    Raw,
)
from replay.engine.setup import PAGE_BYTES, Policy, Setup, Stage

N_OPS: Final = 8
#: ``WorkerKind`` of ``state/sim.pxd``.
WORKER_BURST: Final = 3


def _struct(*fields: Any) -> np.dtype[Any]:
    return np.dtype(list(fields), align=True)


_SERVER = _struct(
    *((name, "u4") for name in ("capacity", "in_use", "head", "tail")),
    ("lanes", "u4"),
    *((name, "u1") for name in ("n_lanes", "n_waiting", "room", "resource")),
    ("released_ns", "i8"),
)

_PAGE_LIST = _struct(
    ("oldest", "u4"), ("newest", "u4"), ("length", "i8"), ("total", "i8")
)

STRUCTS: Final = {
    "Account": _struct(
        ("issuer", "u4"),
        ("device", "u2"),
        ("lane", "u1"),
        ("lock_place", "u1"),
        ("latency", "u4", N_OPS),
        ("worker", "u4"),
        ("charge", "u4"),
        ("charge_payer", "u4"),
        ("first_charge", "u4"),
        ("first_payer", "u4"),
        ("unissued", "i8", len(IO_COLUMNS)),
        *((name, "i8") for name in ("replayed_ns", "replayed", "own_ns", "own")),
    ),
    "BackingIo": _struct(("io", "i8", len(IO_COLUMNS))),
    "Bucket": _struct(
        ("cgroup", "u4"),
        ("device", "u2"),
        ("op", "u1"),
        ("stage", "u1"),
        ("bucket", "u4"),
        ("count", "i8"),
    ),
    "Charge": _struct(
        ("device", "u2"),
        ("issuer", "u4"),
        ("payer", "u4"),
        ("io", "i8", len(IO_COLUMNS)),
        ("charged_bytes", "i8"),
        ("uncharged_bytes", "i8"),
        ("refused_bytes", "i8"),
    ),
    "Cost": _struct(
        ("cgroup", "u4"), ("device", "i4"), *((name, "i8") for name in IOCOST_COLUMNS)
    ),
    "Done": _struct(
        ("row", "i8"),
        ("arrival_ns", "i8"),
        ("start_ns", "i8"),
        ("completion_ns", "i8"),
        ("stage_ns", "i8", int(Stage.TOTAL)),
        ("issuer", "u4"),
        ("payer", "u4"),
        ("worker", "u4"),
        ("error", "i4"),
        ("device", "u2"),
    ),
    "Failure": _struct(
        ("cgroup", "u4"),
        ("errno", "i4"),
        ("count", "i8"),
        ("bytes", "i8"),
        ("first_ns", "i8"),
    ),
    "Group": _struct(
        *((name, "i8") for name in ("limit", "high", "usage", "peak", "shmem")),
        *((name, "i8") for name in ("file", "kernel_bytes", "rss", "high_events")),
        *((name, "i8") for name in ("max_events", "oom", "oom_kill")),
        *((name, "i8") for name in ("oom_group_kill", "low_events")),
        *((name, "i4") for name in ("parent", "limited", "highs")),
        ("oom_group", "i4"),
        ("last_kill_ns", "i8"),
        ("n_alive", "u4"),
        ("n_killable", "u4"),
    ),
    "Kill": _struct(
        ("time_ns", "i8"),
        ("usage_bytes", "i8"),
        ("row", "i8"),
        ("limit_cgroup", "u4"),
        ("victim_cgroup", "u4"),
        ("task", "i4"),
    ),
    "Latency": _struct(
        *((name, "u4") for name in ("cgroup",)),
        ("device", "u2"),
        ("op", "u1"),
        ("stage", "u1"),
        *((name, "i8") for name in list(RAW_COLUMNS["latency"])[4:]),
    ),
    "PageLists": _struct(
        ("inactive", _PAGE_LIST),
        ("active", _PAGE_LIST),
        *(
            (name, "i8")
            for name in (
                "age",
                "refaults",
                "activations",
                "dirty",
                "to_write",
                "written",
            )
        ),
    ),
    "TimelineRow": _struct(
        ("interval", "i8"),
        ("cgroup", "u4"),
        *((name, "i8") for name in TIMELINE_CELLS),
    ),
    "Wait": _struct(
        ("waiting", "u4"),
        ("blocking", "u4"),
        ("resource", "u1"),
        ("wait_ns", "i8"),
        ("count", "i8"),
    ),
    "Worker": _struct(
        ("server", _SERVER),
        ("cgroup", "u4"),
        ("worker", "u4"),
        ("device", "u2"),
        ("kind", "u1"),
        ("is_kernel", "i4"),
        ("next", "u4"),
        *((name, "i8") for name in ("idle_since_ns", "created_ns", "reaped_ns")),
        ("busy_ns", "i8"),
        ("commands", "i8"),
        ("stock_cgroup", "u4"),
        ("stock_pages", "i8"),
        ("shelf", "u4"),
        ("over_high", "i8"),
        ("in_stocked", "i4"),
    ),
}


def records(name: str, data: bytes) -> NDArray[Any]:
    """Return structs that left the engine as a structured array."""
    return np.frombuffer(data, STRUCTS[name])


def table(name: str, found: dict[str, Any]) -> dict[str, NDArray[np.generic]]:
    """Return columns in the order and dtypes of a raw table.

    They stay where they lie, in the structs, where the dtype is the same.
    """
    return {
        column: np.asarray(found[column], dtype)
        for column, dtype in RAW_COLUMNS[name].items()
    }


def sorted_by(
    columns: dict[str, NDArray[np.generic]], n_keys: int
) -> dict[str, NDArray[np.generic]]:
    """Sort a table's rows by its first columns."""
    keys = list(columns.values())[:n_keys]
    order = np.lexsort(keys[::-1])
    return {name: values[order] for name, values in columns.items()}


def requests_table(data: bytes) -> dict[str, NDArray[np.generic]]:
    """Return `Done` structs as the raw ``requests`` table, in order of completion."""
    done = records("Done", data)
    found: dict[str, Any] = {name: done[name] for name in STRUCTS["Done"].names or ()}
    for stage in Stage:
        if stage != Stage.TOTAL:
            found[f"{stage.name.lower()}_ns"] = done["stage_ns"][:, stage]
    return table("requests", found)


def raw_tables(setup: Setup, structs: dict[str, bytes], counts: dict[str, int]) -> Raw:
    """Turn the engine's structs into raw results.

    Parameters
    ----------
    setup : Setup
    structs : dict of str to bytes
        From ``Engine.tables``; they are taken out, so that each is free when it is not
        needed any more.
    counts : dict of str to int
        From ``Engine.counts``.

    Returns
    -------
    Raw
        All tables but ``requests``.
    """

    def taken(name: str) -> NDArray[Any]:
        return records(name, structs.pop(name))

    raw: Raw = {}
    raw["cost"] = sorted_by(table("cost", _fields(taken("Cost"))), 2)
    charge = taken("Charge")
    raw["io"] = _io(setup, taken("Account"), charge)
    raw["backing_io"] = _backing(taken("BackingIo"))
    charge = _charges(charge)
    raw["charges"] = table("charges", {**_fields(charge), **_io_columns(charge["io"])})
    raw["memory"] = _memory(taken("Group"), taken("PageLists"))
    # there may be millions of either: they stay in their structs
    raw["latency"] = table("latency", _fields(_by_account(taken("Latency"))))
    raw["histograms"] = table("histograms", _fields(_by_account(taken("Bucket"))))
    raw["interference"] = sorted_by(table("interference", _fields(taken("Wait"))), 3)
    worker = taken("Worker")
    if setup.policy == Policy.PASS_THROUGH:
        worker = worker[:0]  # what the engine keeps is a queue that never holds anybody
    raw["workers"] = _workers(setup, worker, counts["end_ns"])
    raw["kills"] = table("kills", _fields(taken("Kill")))
    raw["errors"] = sorted_by(table("errors", _fields(taken("Failure"))), 2)
    if setup.interval_ns:
        raw["timeline"] = table("timeline", _fields(taken("TimelineRow")))
    raw["counts"] = {name: np.array([counts[name]], np.int64) for name in COUNTS}
    return raw


def _fields(array: NDArray[Any]) -> dict[str, Any]:
    return {name: array[name] for name in array.dtype.names or ()}


def _io_columns(io: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    return {name: io[:, i] for i, name in enumerate(IO_COLUMNS)}


def _io(
    setup: Setup, account: NDArray[Any], charge: NDArray[Any]
) -> dict[str, NDArray[np.generic]]:
    """Add up what was issued by the block cgroup that the kernel counts for."""
    issuer = np.concatenate([account["issuer"], charge["issuer"]])
    device = np.concatenate([account["device"], charge["device"]])
    key = setup.blkcg[issuer].astype(np.int64) << 16 | device
    unique, place = numbered(key)
    io = np.zeros((len(unique), len(IO_COLUMNS)), np.int64)
    np.add.at(io, place, np.concatenate([account["unissued"], charge["io"]]))
    return table(
        "io", {"cgroup": unique >> 16, "device": unique & 0xFFFF, **_io_columns(io)}
    )


def _backing(backing: NDArray[Any]) -> dict[str, NDArray[np.generic]]:
    used = np.flatnonzero(backing["io"].any(axis=1))
    return table("backing_io", {"cgroup": used, **_io_columns(backing["io"][used])})


def _memory(group: NDArray[Any], lists: NDArray[Any]) -> dict[str, NDArray[np.generic]]:
    """Return a row for every cgroup; without a page cache there are no lists."""
    none = np.zeros(len(group), np.int64)
    return table(
        "memory",
        {
            "own_shmem": group["shmem"],
            "own_file": group["file"],
            "own_kernel": -(-group["kernel_bytes"] // PAGE_BYTES),
            "own_rss": group["rss"],
            "current": group["usage"],
            "peak": group["peak"],
            "low": group["low_events"],
            "high": group["high_events"],
            "max": group["max_events"],
            "oom": group["oom"],
            "oom_kill": group["oom_kill"],
            "oom_group_kill": group["oom_group_kill"],
            "own_refaults": lists["refaults"] if len(lists) else none,
            "own_activations": lists["activations"] if len(lists) else none,
        },
    )


def _charges(charge: NDArray[Any]) -> NDArray[Any]:
    """Take the rows in which anything was charged, sorted by their keys."""
    names = [name for name in charge.dtype.names or () if name.endswith("_bytes")]
    used = charge["io"].any(axis=1)
    for name in names:
        used |= charge[name] != 0
    index = np.flatnonzero(used)
    keys = [charge[name][index] for name in ("payer", "issuer", "device")]
    return _moved(charge, index[np.lexsort(keys)])


def _by_account(rows: NDArray[Any]) -> NDArray[Any]:
    """Sort accounts' rows by cgroup and device; those of each are in order already."""
    begins = np.ones(len(rows), np.bool_)
    np.not_equal(rows["cgroup"][1:], rows["cgroup"][:-1], out=begins[1:])
    begins[1:] |= rows["device"][1:] != rows["device"][:-1]
    first = np.flatnonzero(begins)
    account = rows["cgroup"][first].astype(np.int64) << 16 | rows["device"][first]
    if (account[1:] > account[:-1]).all():
        return rows
    order = np.argsort(account, kind="stable")
    n_rows = np.diff(first, append=len(rows))[order]
    index = np.repeat(first[order] - (np.cumsum(n_rows) - n_rows), n_rows)
    index += np.arange(len(rows))
    return _moved(rows, index)


def _moved(rows: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
    """Take rows of structs, each as a whole: field by field is seven times as slow."""
    return rows.view(np.dtype((np.void, rows.itemsize)))[index].view(rows.dtype)


def _workers(
    setup: Setup, worker: NDArray[Any], end_ns: int
) -> dict[str, NDArray[np.generic]]:
    end = np.where(worker["reaped_ns"] >= 0, worker["reaped_ns"], end_ns)
    idle = end - worker["created_ns"] - worker["busy_ns"]
    if not setup.keeps_idle:
        idle[worker["kind"] == WORKER_BURST] = 0  # it lives only while it has commands
    return sorted_by(table("workers", {**_fields(worker), "idle_ns": idle}), 2)
