"""The tables of a result: names, columns, types, units and what they mean.

One place for what is written, read, checked and documented. ``docs/tables.md`` is
made from it by ``python -m replay.results.schema``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa
from msgspec import Struct

SCHEMA_VERSION: Final = 1

#: Name of the file that says how the tables of a result came about.
RUN_FILE: Final = "run.json"


class TableSpec(Struct, frozen=True, kw_only=True):
    """One table of a result.

    Attributes
    ----------
    name : str
        Also the stem of its file: ``NAME.parquet``.
    rows : str
        What stands in a row.
    key : tuple of str
        Columns that tell rows apart; rows are sorted by them, cgroups, devices and
        tasks in the order of the run (parents before children), not of the alphabet.
        Empty for a table in order of time.
    note : str
        What a reader must know beside the columns' descriptions.
    schema : pyarrow.Schema
        Unit and description of each column stand in its field metadata.
    """

    name: str
    rows: str
    key: tuple[str, ...]
    note: str
    schema: pa.Schema

    @property
    def file(self) -> str:
        """Name of the file inside a result directory."""
        return f"{self.name}.parquet"


def _text(name: str, description: str, *, nullable: bool = False) -> pa.Field:
    return _field(name, pa.string(), "", description, nullable=nullable)


def _count(name: str, description: str, unit: str = "1") -> pa.Field:
    return _field(name, pa.int64(), unit, description)


def _bytes(name: str, description: str) -> pa.Field:
    return _field(name, pa.int64(), "bytes", description)


def _ns(name: str, description: str, *, nullable: bool = False) -> pa.Field:
    return _field(name, pa.int64(), "ns", description, nullable=nullable)


def _field(
    name: str, type_: pa.DataType, unit: str, text: str, *, nullable: bool = False
) -> pa.Field:
    metadata = {"unit": unit, "description": text}
    return pa.field(name, type_, nullable=nullable, metadata=metadata)


_IO: Final = (
    _bytes("rbytes", "read"),
    _bytes("wbytes", "written, write zeroes included"),
    _count("rios", "read bios, merged ones each", "bios"),
    _count("wios", "write bios, merged ones and empty flushes each", "bios"),
    _bytes("dbytes", "discarded"),
    _count("dios", "discard bios", "bios"),
)

_COST: Final = tuple(
    _field(f"cost_{name}_us", pa.int64(), "us", f"{text}; 0 without io.cost")
    for name, text in (
        ("usage", "time of the device that its I/O cost, by the cost model"),
        ("wait", "time in which any of its I/O waited for budget"),
        ("indebt", "time in which it owed for I/O that could not wait"),
        ("indelay", "time in which its tasks were delayed for that"),
    )
)

_STAGES: Final = (
    ("throttle", "waiting for limits on the traced device"),
    ("queue", "waiting in the traced device's scheduler, or for a device that is full"),
    ("tag", "waiting for a tag of the traced device"),
    ("dispatch", "queued behind other commands of its worker"),
    ("lock", "waiting for the backing file's lock"),
    ("memory", "charging pages: reclaim, memory.high, OOM"),
    ("backing", "waiting for limits and costs on the device below"),
    ("debt", "sleeping for what its cgroup owed, ahead of the request"),
    ("device", "being served"),
)

_SPECS: Final = (
    TableSpec(
        name="charges",
        rows="device, issuer, payer",
        key=("device", "issuer", "payer"),
        note=(
            "The cgroup that caused an I/O and the cgroup that it was charged to. "
            "The sums over all payers are what the issuer submitted. Pages are "
            "charged to the payer because of the issuer's I/O; a page that one "
            "cgroup discards or has reclaimed is uncharged from whoever had paid."
        ),
        schema=pa.schema(
            [
                _text("device", "traced device, major:minor"),
                _text("issuer", "cgroup that caused the I/O"),
                _text("payer", "cgroup that it was charged to"),
                *_IO,
                _bytes("charged_bytes", "memory charged to the payer"),
                _bytes("uncharged_bytes", "memory given back to the payer"),
                _bytes("refused_bytes", "memory that could not be charged"),
            ]
        ),
    ),
    TableSpec(
        name="io_stat",
        rows="cgroup, device",
        key=("cgroup", "device"),
        note=(
            "As the kernel's `io.stat`: each cgroup with its descendants. `/` is the "
            "sum of all (the kernel prints the disk's statistics there). One row for "
            "every cgroup and every device that saw I/O, zeros too; the backing "
            "device's rows, where the scenario names one, count by payer what direct "
            "I/O or the page cache reads and writes there. `cost_usage_us` is the "
            "kernel's `cost.usage`, whole us a period; the other three it shows with "
            "its debug statistics."
        ),
        schema=pa.schema(
            [
                _text("cgroup", "path, or id:N if the path is not known"),
                _text("device", "major:minor"),
                *_IO,
                *_COST,
            ]
        ),
    ),
    TableSpec(
        name="memory",
        rows="cgroup",
        key=("cgroup",),
        note=(
            "At the end of the run, as `memory.current`, `memory.peak`, `memory.stat` "
            "and `memory.events` show it: with descendants, unless the name begins "
            "with `own_`. Every cgroup of the trace and the scenario and every "
            "ancestor has a row, zeros too."
        ),
        schema=pa.schema(
            [
                _text("cgroup", "path, or id:N if the path is not known"),
                _bytes("current", "all memory charged, without per-CPU stocks"),
                _bytes("peak", "most memory charged at any time, with per-CPU stocks"),
                _bytes("file", "page cache and tmpfs (memory.stat file)"),
                _bytes("shmem", "tmpfs alone (memory.stat shmem)"),
                _bytes("anon", "memory of living tasks (memory.stat anon)"),
                _bytes(
                    "kernel",
                    "page trees of the backing file, buffer heads of its cache",
                ),
                _bytes("own_file", "file, without descendants"),
                _bytes("own_shmem", "shmem, without descendants"),
                _count("low", "reclaims below memory.low", "events"),
                _count("high", "reclaims above memory.high", "events"),
                _count("max", "charges that met memory.max", "events"),
                _count("oom", "charges that came to the OOM killer", "events"),
                _count("oom_kill", "tasks killed", "events"),
                _count("oom_group_kill", "whole cgroups killed", "events"),
                _count(
                    "workingset_refault_file",
                    "pages read again after reclaim had dropped them",
                    "pages",
                ),
                _count(
                    "workingset_activate_file",
                    "of those, active at once: dropped not long ago",
                    "pages",
                ),
            ]
        ),
    ),
    TableSpec(
        name="latency",
        rows="cgroup, device, op, stage",
        key=("cgroup", "device", "op", "stage"),
        note=(
            "Stages, in the order a request passes them: "
            + "; ".join(f"`{name}` {text}" for name, text in _STAGES)
            + ". They sum to `total`, completion minus arrival. Mean: floor(sum / "
            "count). Percentiles: nearest rank, the middle of its bucket: within 1 %, "
            "so that one may lie beyond `max_ns`, or below `min_ns`, by 0.8 %."
        ),
        schema=pa.schema(
            [
                _text("cgroup", "issuer"),
                _text("device", "traced device, major:minor"),
                _text("op", "read, write, discard, flush, …"),
                _text("stage", "stage, or total"),
                _count("count", "requests", "requests"),
                _ns("sum_ns", "summed over requests, exact"),
                _ns("mean_ns", "mean"),
                _ns("min_ns", "shortest"),
                _ns("p50_ns", "median"),
                _ns("p90_ns", "90th percentile"),
                _ns("p99_ns", "99th percentile"),
                _ns("p999_ns", "99.9th percentile"),
                _ns("max_ns", "longest"),
            ]
        ),
    ),
    TableSpec(
        name="histograms",
        rows="cgroup, device, op, stage, bucket",
        key=("cgroup", "device", "op", "stage", "low_ns"),
        note=(
            "What the percentiles of `latency` are taken from, so that latencies of "
            "several results can be merged without a loss (`replay.merge`): the same "
            "64 buckets an octave in every result, and only those that hold requests. "
            "A percentile is `(low_ns + high_ns) // 2` of the bucket of the nearest "
            "rank."
        ),
        schema=pa.schema(
            [
                _text("cgroup", "issuer"),
                _text("device", "traced device, major:minor"),
                _text("op", "read, write, discard, flush, …"),
                _text("stage", "stage, or total"),
                _ns("low_ns", "least time that the bucket holds"),
                _ns("high_ns", "largest time that it holds"),
                _count("count", "requests", "requests"),
            ]
        ),
    ),
    TableSpec(
        name="interference",
        rows="waiting cgroup, blocking cgroup, resource",
        key=("waiting", "blocking", "resource"),
        note=(
            "Behind whom requests waited; a cgroup can wait behind itself. Summed "
            "over the blocking cgroups it is the waiting cgroup's time in that stage "
            "(on a plain disk in `queue` and `tag` together; of `device` what is no "
            "service). What a request that does not complete "
            "was made to wait here counts too: it stands in `requests`, and in no "
            "latency."
        ),
        schema=pa.schema(
            [
                _text(
                    "waiting",
                    "cgroup whose requests waited; (others): beyond the 64 that one "
                    "queue tells apart at a time",
                ),
                _text(
                    "blocking",
                    "cgroup whose requests they waited for, or whose limit held them; "
                    "(others): likewise, at the shared lock",
                ),
                _text(
                    "resource",
                    "throttle, queue, tag, worker, lock, memory or device; tag behind "
                    "itself: what passes before the driver where nobody is ahead, too",
                ),
                _ns("wait_ns", "summed over requests"),
                _count("count", "waits: of one request for one other, or a limit"),
            ]
        ),
    ),
    TableSpec(
        name="workers",
        rows="device, worker",
        key=("device", "worker"),
        note=(
            "A worker lives from its cgroup's first command until 60 s or more after "
            "its last one; the root worker always."
        ),
        schema=pa.schema(
            [
                _text("device", "traced device, major:minor"),
                _field("worker", pa.uint32(), "", "number, in order of creation"),
                _text("cgroup", "cgroup that it serves"),
                _ns("created_ns", "since the trace's start"),
                _count("commands", "commands served"),
                _ns("busy_ns", "serving a command"),
                _ns("idle_ns", "alive without a command"),
                _ns("reaped_ns", "freed; null: alive at the end", nullable=True),
            ]
        ),
    ),
    TableSpec(
        name="kills",
        rows="kill",
        key=(),
        note="In order of time.",
        schema=pa.schema(
            [
                _ns("time_ns", "since the trace's start"),
                _text(
                    "limit_cgroup",
                    "cgroup whose memory.max was met; `/`: machine.memory",
                ),
                _text("victim_cgroup", "cgroup of the killed task"),
                _text("task", "name of the killed task"),
                _bytes("usage_bytes", "usage of limit_cgroup at the kill"),
                _field("row", pa.int64(), "", "of the trace file, whose charge met it"),
            ]
        ),
    ),
    TableSpec(
        name="errors",
        rows="cgroup, errno",
        key=("cgroup", "errno"),
        note=(
            "Requests that failed, as their issuer saw it. Errno 0: writes that from "
            "6.15 on are reported as done though their tail was not written; `bytes` "
            "is what was lost."
        ),
        schema=pa.schema(
            [
                _text("cgroup", "issuer"),
                _field(
                    "errno", pa.int32(), "errno", "as in errno.h; 0: silent data loss"
                ),
                _count("count", "requests", "requests"),
                _bytes("bytes", "length of these requests, or what they lost"),
                _ns("first_ns", "completion of the first, since the trace's start"),
            ]
        ),
    ),
    TableSpec(
        name="timeline",
        rows="interval, cgroup (with `--interval`)",
        key=("interval", "cgroup"),
        note=(
            "What happened when: a row where anything changed. I/O counts when its "
            "command is handed to a worker, memory when it is charged, by who pays; "
            "times when a request completes, by who issued it; `blocked_ns` when the "
            "blocker lets go. Over all intervals they sum to `charges`, `latency` and "
            "`interference` (with dependent arrivals without what a plain disk's "
            "requests were recorded to wait), and events to `memory`; the last "
            "`usage_bytes` of a cgroup is its `current`, and where it has no row it is "
            "as before."
        ),
        schema=pa.schema(
            [
                _field("interval", pa.int64(), "", "number, from 0"),
                _ns("start_ns", "of the interval, since the trace's start"),
                _text("cgroup", "path, or id:N if the path is not known"),
                *_IO,
                _bytes("charged_bytes", "memory charged to it"),
                _bytes("uncharged_bytes", "memory given back to it"),
                _bytes("refused_bytes", "memory that could not be charged to it"),
                _bytes("usage_bytes", "as memory.current at the interval's end"),
                _count("requests", "completed requests that it issued", "requests"),
                *(_ns(f"{name}_ns", f"{text}; its requests") for name, text in _STAGES),
                _ns("total_ns", "sum of these"),
                _ns("blocked_ns", "that requests, its own too, waited for it"),
                _count("high", "as in memory", "events"),
                _count("max", "as in memory", "events"),
                _count("oom", "as in memory", "events"),
                _count("oom_kill", "as in memory", "events"),
            ]
        ),
    ),
    TableSpec(
        name="requests",
        rows="request (with `--requests`)",
        key=(),
        note=(
            "In order of completion. A request that goes through two loop devices "
            "(`backing.loop`) has a row on each, with one `row`: that of the device "
            "below comes first, its issuer being who paid above; `op`, `sector`, "
            "`nbytes` and the process of both are those of the trace's row."
        ),
        schema=pa.schema(
            [
                _field("row", pa.int64(), "", "of the trace file"),
                _text("device", "traced device, major:minor"),
                _text("op", "read, write, discard, flush, …"),
                _field("sector", pa.uint64(), "512 B sectors", "first one"),
                _bytes("nbytes", "length"),
                _field("pid", pa.int32(), "", "process that queued it"),
                _text("process", "its name then; null: not known", nullable=True),
                _text("kind", "data, metadata, journal (any FUA write too) or flush"),
                _text("issuer", "cgroup that caused it"),
                _text("payer", "cgroup that it was charged to"),
                _field("worker", pa.uint32(), "", "null: not started", nullable=True),
                _ns("arrival_ns", "since the trace's start", nullable=True),
                _ns("start_ns", "its worker took it up", nullable=True),
                _ns("completion_ns", "null: not completed", nullable=True),
                _field("errno", pa.int32(), "errno", "positive; 0: no error"),
                *(_ns(f"{name}_ns", text) for name, text in _STAGES),
            ]
        ),
    ),
)

#: Tables that a result has only if they were asked for.
OPTIONAL: Final = frozenset({"timeline", "requests"})

#: Every table by its name, in the order in which it is documented.
TABLES: Final[Mapping[str, TableSpec]] = MappingProxyType(
    {spec.name: spec for spec in _SPECS}
)

_HEAD: Final = """\
# Result tables

Made from `src/replay/results/schema.py` by `python -m replay.results.schema`;
do not edit.

`replay run -o OUTDIR` writes one Parquet file for each table, and `run.json`. The
library gives the same as `Result.tables`. cgroups are paths where known, else `id:N`;
the root is `/`. Times are nanoseconds, sizes bytes. Each column's unit and description
stand in its field metadata; each table's schema metadata tells which run it came from.
"""

_TAIL: Final = """\
## Metadata of every table

| key | what |
|---|---|
| `replay.table` | the table's name |
| `replay.schema_version` | version of these schemas |
| `replay.version` | version of replay that made it |
| `replay.scenario_sha256` | identity of the effective scenario |
| `replay.trace_sha256` | identity of the trace |
| `replay.notes` | estimates and things not modelled, a JSON list of lines |

## run.json

| key | what |
|---|---|
| `schema_version` | version of these schemas |
| `model_version` | of the rules: answers of the same one are equal |
| `versions` | replay, Python and the libraries |
| `scenario` | every key of the effective scenario |
| `scenario_sha256` | its identity |
| `trace` | path, sources, span, devices, rows; `sha256`: its identity |
| `quality` | what became of every record of the trace |
| `assign` | `requests` and `bytes` by rule of `[[assign]]`, then of none |
| `dependence` | dependent arrivals: each process's depth, what waits, its think time |
| `notes` | estimates and things not modelled |
| `counts` | requests: replayed, completed, failed, in flight, stopped, … |
| `interval_ns` | length of the timeline's intervals; null: none was asked for |
| `workers_peak` | most workers alive at once |
| `timings` | wall time by step, and `total_s`; differs between equal runs |
| `rate` | `requests_per_s` over `total_s` |
"""


def document() -> str:
    """Describe every table as Markdown.

    Returns
    -------
    str
        The content of ``docs/tables.md``.
    """
    parts = [_HEAD]
    for spec in TABLES.values():
        lines = [
            f"## {spec.file}\n\nOne row per {spec.rows}. {spec.note}\n",
            "| column | type | unit | |\n|---|---|---|---|",
        ]
        for field in spec.schema:
            unit = field.metadata[b"unit"].decode()
            text = field.metadata[b"description"].decode()
            lines.append(f"| `{field.name}` | {field.type} | {unit} | {text} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, _TAIL])


if __name__ == "__main__":
    print(document(), end="")
