"""The cost of ``memory.max``, for every cgroup and every limit, in one pass."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from replay.capture.facts import recorded_facts
from replay.common.errors import ScenarioError
from replay.common.output import replacing
from replay.common.shown import Shown
from replay.curves.cache import FREES, WRITE, CacheCurve, CacheWalk
from replay.curves.stops import TmpfsFile, Usage
from replay.engine.columns import NO_TASK, Columns
from replay.engine.setup import NOT_REPLAYED, PAGE_BYTES, ArrivalEvent, Policy
from replay.runner.feed import parts
from replay.scenario.bind import Binding, bind
from replay.scenario.keys.load import Recipe, Scenario
from replay.scenario.notes.defaults import as_loop_device
from replay.trace.convert import open_or_convert
from replay.trace.file.filters import Filters
from replay.trace.file.read import Progress, Trace
from replay.trace.formats.options import FormatOptions

SECTOR_BYTES: Final = 512
#: Limits that are shown, as shares of what a cgroup needs for nothing to happen.
SHARES: Final = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)

_SCHEMA: Final = pa.schema(
    [
        pa.field("cgroup", pa.string(), nullable=False),
        pa.field("memory_max_bytes", pa.int64(), nullable=False),
        pa.field("uses", pa.int64()),
        pa.field("lost", pa.int64()),
        pa.field("lost_share", pa.float64()),
        pa.field("read_again_bytes", pa.int64()),
        pa.field("read_bytes", pa.int64()),
        pa.field("stopped_row", pa.int64()),
        pa.field("stopped_ns", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsCurve:
    """Of one cgroup's pages of files on tmpfs, which cannot be given back.

    Attributes
    ----------
    cgroup : str
    rows, pages : list of int
        A row and what is charged behind it, whenever that is more than ever before.
    times : list of int
        When these rows arrive (``arrivals.event``), ns since the trace's start.
    """

    cgroup: str
    rows: list[int]
    pages: list[int]
    times: list[int]

    @property
    def need_bytes(self) -> int:
        """The smallest limit at which no row is stopped."""
        return (self.pages[-1] if self.pages else 0) * PAGE_BYTES

    def stopped(self, limit_bytes: int) -> tuple[int, int] | None:
        """Return row and time of the first request that does not fit; None: all do."""
        at = bisect_right(self.pages, limit_bytes // PAGE_BYTES)
        return (self.rows[at], self.times[at]) if at < len(self.rows) else None

    def row(self, limit_bytes: int) -> dict[str, Any]:
        """Say what a limit stops."""
        row, time_ns = self.stopped(limit_bytes) or (None, None)
        return {
            "cgroup": self.cgroup,
            "memory_max_bytes": limit_bytes,
            "stopped_row": row,
            "stopped_ns": time_ns,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve(Shown):
    """The cost of every limit for every cgroup.

    Attributes
    ----------
    cgroups : list of CacheCurve or list of TmpfsCurve
        Of the cgroups that issue and their ancestors, the root apart; those first that
        need most.
    tmpfs : bool
    notes : list of str
        What the numbers are and are not.
    limits : list of int
        Limits that were asked for; empty: shares of what each cgroup needs.
    """

    cgroups: Sequence[CacheCurve | TmpfsCurve]
    tmpfs: bool
    notes: list[str]
    limits: list[int]

    def __repr__(self) -> str:
        kind = "tmpfs" if self.tmpfs else "page cache"
        return f"<Curve of {len(self.cgroups)} cgroups, {kind}>"

    def table(self) -> pa.Table:
        """Return a row for each cgroup and limit."""
        rows = [
            one.row(limit)
            for one in self.cgroups
            for limit in self.limits or default_limits(one.need_bytes)
        ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write `table` as a Parquet file, whole or not at all."""
        with replacing(path, overwrite=overwrite) as part:
            pq.write_table(self.table(), part, compression="zstd")


def default_limits(need_bytes: int) -> list[int]:
    """Return limits in whole pages, up to what is needed."""
    pages = need_bytes // PAGE_BYTES
    some = {round(pages * share) for share in SHARES}
    return [one * PAGE_BYTES for one in sorted(some) if one]


def curve(
    trace: Trace | str | Path | Sequence[str | Path],
    scenario: Mapping[str, Any] | str | Path | None = None,
    *,
    limits: Sequence[int] = (),
    sample: float = 1.0,
    overrides: Sequence[str] = (),
    assign: str | Path | None = None,
    cgroups: str | Path | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
    filters: Filters | None = None,
) -> Curve:
    """Find what every ``memory.max`` would cost, in one pass over a trace.

    Parameters
    ----------
    trace, scenario, overrides, assign, cgroups, progress, format, filters
        As `replay.run`. Limits of the scenario have no effect.
    limits : sequence of int
        Bytes to show; by default some for each cgroup, up to what it needs.
    sample : float
        Share of the pages to look at, of a page cache: 1 is all, and exact.

    Returns
    -------
    Curve

    Raises
    ------
    TraceError
        The trace cannot be read.
    ScenarioError
        The scenario is not valid, or its I/O has no pages to be charged for.
    """
    if not 0 < sample <= 1:
        raise ScenarioError(f"--sample {sample}: is a share, more than 0 and at most 1")
    for limit in limits:
        # as the table's column holds it
        if not 0 <= limit < 1 << 63:
            raise ScenarioError(f"limits: {limit} is not from 0 to 2**63 - 1 bytes")
    facts = {} if isinstance(trace, Trace) else recorded_facts(trace)
    wanted = Recipe(given=scenario, assign=assign, facts=facts).scenario(overrides)
    if isinstance(trace, Trace):
        return _curve(trace, wanted, list(limits), sample, progress)
    with open_or_convert(
        trace, cgroups=cgroups, progress=progress, format=format, filters=filters
    ) as opened:
        return _curve(opened, wanted, list(limits), sample, progress)


def _curve(
    trace: Trace,
    wanted: Scenario,
    limits: list[int],
    sample: float,
    progress: Progress | None,
) -> Curve:
    binding = bind(wanted, trace)
    setup = binding.setup
    if setup.direct_io:
        raise ScenarioError(_no_pages(wanted, binding))
    if setup.policy == Policy.ROOT:
        raise ScenarioError(
            "driver.policy = root: / pays for every page, and has no memory.max"
        )
    walk: _Tmpfs | CacheWalk
    walk = _Tmpfs(binding) if setup.tmpfs else CacheWalk(binding, sample)
    n_done = 0
    for part in parts(trace, binding, None):
        walk.add(part.columns)
        n_done += len(part.columns)
        if progress is not None:
            progress(n_done, trace.n_rows)
    found: list[CacheCurve | TmpfsCurve] = [*walk.curves()]
    found.sort(key=lambda one: (-one.need_bytes, one.cgroup))
    return Curve(
        cgroups=found, tmpfs=bool(setup.tmpfs), notes=walk.notes(), limits=limits
    )


def _no_pages(wanted: Scenario, binding: Binding) -> str:
    """Say why there is no curve of direct I/O, and what may be asked in its place."""
    if any(binding.setup.are_loops) or wanted.driver.direct_io is not None:
        return (
            "driver.direct_io: direct I/O has no pages that a limit could take away; "
            f"{as_loop_device(wanted)}"
        )
    words = "--set driver.direct_io=false"
    if wanted.backing.filesystem is None:
        words += " --set backing.filesystem=raw"
    names = ", ".join(binding.device_names[:3])
    return (
        f"{names}: a disk, no loop device; what reaches it "
        "is what no page cache held, and does not show what a memory.max costs; add "
        f"{words} to ask what a page cache in front of these requests would need"
    )


class _Tmpfs:
    """Charges every page to who touches it first, without a limit."""

    def __init__(self, binding: Binding) -> None:
        setup = binding.setup
        if setup.laid_out_by >= 0:
            raise ScenarioError(
                "backing.laid_out_by: the file's pages exist and are charged already"
            )
        self._names = binding.cgroup_names
        self._setup = setup
        self._css = setup.memory_css.tolist()
        self._usage = Usage(setup.parent.tolist())
        self._files = [TmpfsFile() for _ in setup.devices]
        self._left = setup.task_requests.tolist()
        self._always = setup.task_always.tolist() or [False] * len(self._left)
        self._times: dict[int, int] = {}
        for task in np.flatnonzero(setup.task_always).tolist():
            self._add_rss(task, 1)

    def add(self, columns: Columns) -> None:
        """Charge the pages of rows."""
        arrival, other = columns.issue_ns, columns.queue_ns
        if self._setup.event == ArrivalEvent.QUEUE:
            arrival, other = other, arrival
        arrival = np.where(arrival < 0, other, arrival)
        replayed = columns.device != NOT_REPLAYED
        begins, ends = self._tasks(np.where(replayed, columns.task, NO_TASK))
        # nothing else changes what is charged: a read is not looked at
        moves = replayed & (columns.nbytes > 0)
        moves &= np.isin(columns.op, [WRITE, *FREES])
        moves[[*begins, *ends]] = True
        at = np.flatnonzero(moves)
        for position, row, time_ns, device, op, sector, nbytes, issuer in zip(
            at.tolist(),
            columns.row[at].tolist(),
            arrival[at].tolist(),
            columns.device[at].tolist(),
            columns.op[at].tolist(),
            columns.sector[at].tolist(),
            columns.nbytes[at].tolist(),
            columns.issuer[at].tolist(),
            strict=True,
        ):
            if position in begins:
                self._add_rss(begins[position], 1)
            start, end = sector * SECTOR_BYTES, sector * SECTOR_BYTES + nbytes
            if op == WRITE and nbytes:
                payer = self._css[issuer]
                pages, nodes = self._files[device].write(
                    start // PAGE_BYTES, (end - 1) // PAGE_BYTES, payer
                )
                if pages:
                    self._usage.add(payer, pages, nodes)
                    self._usage.charged(row, payer)
                    self._times[row] = time_ns
            elif op in FREES and nbytes:
                first, last = -(-start // PAGE_BYTES), end // PAGE_BYTES - 1
                if last >= first:
                    freed, payers = self._files[device].free(first, last)
                    for payer, pages in freed.items():
                        self._usage.add(payer, -pages)
                    for payer in payers:
                        self._usage.add(payer, 0, -1)
            if position in ends:
                self._add_rss(ends[position], -1)

    def _tasks(self, task: NDArray[np.int32]) -> tuple[dict[int, int], dict[int, int]]:
        """Return the tasks that begin and that end, by the position of that row."""
        begins: dict[int, int] = {}
        ends: dict[int, int] = {}
        found, first, n_rows = np.unique(task, return_index=True, return_counts=True)
        last = len(task) - 1 - np.unique(task[::-1], return_index=True)[1]
        for one, begin, end, n in zip(
            found.tolist(), first.tolist(), last.tolist(), n_rows.tolist(), strict=True
        ):
            if one == NO_TASK or self._always[one]:
                continue
            if self._left[one] == self._setup.task_requests[one]:
                begins[begin] = one
            self._left[one] -= n
            if self._left[one] == 0:
                ends[end] = one
        return begins, ends

    def _add_rss(self, task: int, sign: int) -> None:
        rss = int(self._setup.task_rss[task])
        self._usage.add(int(self._setup.task_cgroup[task]), sign * rss)

    def curves(self) -> list[TmpfsCurve]:
        """Return what was found."""
        return [
            TmpfsCurve(
                cgroup=self._names[cgroup],
                rows=[row for row, _ in highs],
                pages=[pages for _, pages in highs],
                times=[self._times[row] for row, _ in highs],
            )
            for cgroup, highs in enumerate(self._usage.highs)
            if highs and cgroup > 0
        ]

    def notes(self) -> list[str]:
        """Say what the numbers are."""
        return [
            "the limit of one cgroup at a time; rows are taken one after the other, in "
            "the order of the trace"
        ]
