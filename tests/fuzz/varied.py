"""Setups and rows for the model, by many cheap changes of a few that are drawn.

What hypothesis draws takes 30 ms; a change of it takes some microseconds. A setup is
mixed of two drawn ones, with some numbers of its own; rows are a few of any drawn ones,
with other times, places, sizes and cgroups, some of them at their ends.
"""

import random
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from msgspec import structs
from msgspec.structs import replace
from numpy.typing import NDArray

from replay.engine.columns import FAILED, NO_TASK, Columns
from replay.engine.setup import NO_LIMIT, NOT_REPLAYED, ArrivalEvent, Setup
from replay.engine.shortcuts import Shortcut
from replay.trace.file.schema import FLAGS
from support.strategies import FLUSH, PLACES, SECTORS_PER_PAGE, plain, runs

Run = tuple[Setup, Columns]
Row = list[int]

#: Places of a row's fields.
QUEUE, ISSUE, COMPLETE, SECTOR, NBYTES, N_BIOS, ROW_FLAGS = range(7)
OP, PID, ISSUER, RECORDED, DEVICE, TASK = range(7, 13)
TIMES: Final = (QUEUE, ISSUE, COMPLETE)
FIELDS: Final = (
    *("queue_ns", "issue_ns", "complete_ns", "sector", "nbytes", "n_bios", "flags"),
    *("op", "pid", "issuer", "recorded", "device", "task"),
)
DTYPES: Final = (
    *("i8", "i8", "i8", "u8", "u4", "u4", "u2"),
    *("i1", "i4", "u4", "u4", "u2", "i4"),
)
GAPS: Final = (0, 1, 1, 50, 700, 1000, 10**6, 5 * 10**9, 30 * 10**9, 61 * 10**9)
TOOK: Final = (0, 1, 90, 500, 500, 10**4, 10**7, 59 * 10**9, 61 * 10**9)
PAGES: Final = (512, 4096, 4096, 4608, 20_480)
MANY_PAGES: Final = (300 * 4096, 700 * 4096)

#: How often rows touch hundreds of pages, which takes the reference 50 ms, and how
#: often a tmpfs file owns whole regions from the start.
MANY, LAID_OUT = 0.004, 0.1

#: Values at their ends, by field; sizes only where no page is touched.
SECTORS: Final = (0, 1, 7, 8, 1 << 31, 1 << 32, (1 << 60) - 1, 1 << 60, (1 << 64) - 1)
SIZES: Final = (0, 1, 511, 512, 1 << 20, (1 << 31) + 1, (1 << 32) - 1)
BIOS: Final = (0, 1, 0xFFFF, 0x10000, (1 << 32) - 1)
PIDS: Final = (-(1 << 31), -1, 0, (1 << 31) - 1)
LATE: Final = (1 << 31, 1 << 32, (1 << 53) - 1, 1 << 53, 1 << 62, (1 << 63) - 1)

#: A setup's single values, which fit every tree: taken from another one as they are.
SCALARS: Final = tuple(
    one.name
    for one in structs.fields(Setup)
    if isinstance(one.default, int | float)
    and one.name not in ("nested", "laid_out_by", "tmpfs", "cached", "interval_ns")
)
#: Numbers that may be any in a range.
RANGES: Final = {
    "tags": (1, 5),
    "readahead_pages": (0, 40),
    "file_pages": (1, 700),
    "fs_pages": (0, 120),
    "dirty_bytes": (0, 400_000),
    "dirty_background_bytes": (0, 400_000),
    "dirty_ratio": (1, 100),
    "dirty_background_ratio": (0, 100),
    "boot_ns": (0, 10**9),
    "read_base_ns": (0, 3000),
    "write_base_ns": (0, 3000),
    "read_ns_per_byte": (0, 1 << 22),
    "write_ns_per_byte": (0, 1 << 22),
    "parallel": (1, 4),
    "processors": (0, 3),
    "max_sectors": (8, 300),
    "alloc_fail_seed": (0, 1000),
    "alloc_fail_threshold": (0, 1 << 64),
}
#: Tables of numbers, each of which may be any in a range, or none.
TABLES: Final[dict[str, tuple[int, int]]] = {
    "memory_max": (0, 260),
    "memory_high": (0, 260),
    "memory_min": (0, 200),
    "memory_low": (0, 200),
    "task_rss": (0, 70),
    "task_requests": (1, 6),
    "task_adj": (-1000, 1000),
    "iomax_rbps": (16, 10**8),
    "iomax_wbps": (16, 10**8),
    "iomax_riops": (1, 5000),
    "iomax_wiops": (1, 5000),
    "bfq_weight": (1, 1000),
    "iocost_weight": (1, 10_000),
    "iolatency_target": (0, 10**7),
    "disk_pipe": (0, 4000),
    "disk_descriptors": (0, 9),
    "disk_requeue_ns": (0, 90),
    "disk_delay_ns": (0, 900),
}
#: Those whose entries may be absent.
WITHOUT: Final = frozenset(
    name for name in TABLES if name.startswith("iomax") or name in ("memory_high",)
) | {"memory_max"}
INTERVALS: Final = (0,) * 14 + (777, 40_000_000_000)
PLAIN: Final = (None, None, None, *(one for one in Shortcut if one != Shortcut.NONE))


def drawn_runs(n: int, seed: int) -> list[Run]:
    """Draw runs with hypothesis: the same for the same seed."""
    found: list[Run] = []

    @seeded(seed)
    @settings(
        max_examples=n,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(runs())
    def draw(run: Run) -> None:
        found.append(run)

    draw()
    return found


def rows_of(columns: Columns) -> list[Row]:
    """Return rows as lists of fields."""
    lists = [getattr(columns, name).tolist() for name in FIELDS]
    return [list(row) for row in zip(*lists, strict=True)]


def columns_of(rows: list[Row], event: ArrivalEvent) -> Columns:
    """Return rows as columns, in the order of their arrival."""
    first, second = (QUEUE, ISSUE) if event == ArrivalEvent.QUEUE else (ISSUE, QUEUE)
    rows.sort(key=lambda row: row[first] if row[first] >= 0 else row[second])
    for row in rows:
        if row[OP] == FLUSH:
            row[NBYTES] = 0
    lists = zip(*rows, strict=True) if rows else [()] * len(FIELDS)
    return Columns(
        row=np.arange(len(rows), dtype=np.int64),
        **{
            name: np.array(values, dtype)
            for name, dtype, values in zip(FIELDS, DTYPES, lists, strict=True)
        },
    )


class Changes:
    """Makes runs of drawn ones.

    Parameters
    ----------
    drawn : list
        Runs to begin with.
    rng : Random
    """

    def __init__(self, drawn: list[Run], rng: random.Random) -> None:
        self._setups = [setup for setup, _ in drawn]
        self._rows = [rows for _, columns in drawn if (rows := rows_of(columns))]
        self._rng = rng
        self._setup = self._setups[0]

    def next(self) -> Run:
        """Make one more run."""
        # a setup is used for some runs
        if self._rng.random() < 0.3:
            self._setup = self._mixed()
        return self._setup, columns_of(self._some_rows(), self._setup.event)

    # -- setups -----------------------------------------------------------------

    def _mixed(self) -> Setup:
        """Mix a setup of two, with some numbers of its own."""
        rng = self._rng
        base, other = rng.choice(self._setups), rng.choice(self._setups)
        bits = rng.getrandbits(len(SCALARS))
        for _ in range(rng.randrange(3)):
            bits &= rng.getrandbits(len(SCALARS))
        values: dict[str, Any] = {
            name: getattr(other, name)
            for place, name in enumerate(SCALARS)
            if bits >> place & 1
        }
        if rng.random() < 0.3:
            values |= {"tmpfs": other.tmpfs, "cached": other.cached}
        if base.tmpfs and rng.random() > LAID_OUT:
            values["laid_out_by"] = -1
        values["interval_ns"] = rng.choice(INTERVALS)
        for name in rng.sample(list(RANGES), rng.randrange(4)):
            values[name] = rng.randint(*RANGES[name])
        for name in rng.sample(list(TABLES), rng.randrange(4)):
            values[name] = self._table(name, getattr(base, name))
        setup = replace(base, **values)
        shortcut = rng.choice(PLAIN)
        return setup if shortcut is None else plain(setup, shortcut)

    def _table(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Change one number of a table."""
        rng = self._rng
        if not values.size:
            return values
        changed = values.copy()
        number = rng.randint(*TABLES[name])
        if name in WITHOUT and rng.random() < 0.3:
            number = NO_LIMIT
        changed.flat[rng.randrange(values.size)] = number
        return changed

    # -- rows -------------------------------------------------------------------

    def _some_rows(self) -> list[Row]:
        """Take some rows and change them."""
        rng = self._rng
        drawn = rng.choice(self._rows)
        n_rows = 40 if rng.random() < 0.01 else rng.randint(1, 4)
        start = rng.randrange(len(drawn))
        rows = [row.copy() for row in drawn[start : start + n_rows]]
        if rng.random() < 0.3:
            rows.append(rng.choice(rng.choice(self._rows)).copy())
        self._fitted(rows)
        for _ in range(rng.randrange(1, 6)):
            rng.choice(_BLOWS)(self, rows)
        if rng.random() < 0.03:
            self._extreme(rng.choice(rows))
        return rows

    def _fitted(self, rows: list[Row]) -> None:
        """Make rows fit the setup, and begin near the start of the trace."""
        setup = self._setup
        n_cgroups, n_devices = len(setup.parent), len(setup.devices)
        n_tasks = len(setup.task_cgroup)
        begin = min(time for row in rows for time in row[:3] if time >= 0)
        many = setup.direct_io or self._rng.random() < MANY
        for row in rows:
            for field in TIMES:
                if row[field] >= 0:
                    row[field] = max(row[field] - begin, 0)
            row[ISSUER] %= n_cgroups
            row[RECORDED] %= n_cgroups
            if row[DEVICE] != NOT_REPLAYED:
                row[DEVICE] %= n_devices
            row[TASK] = row[TASK] % n_tasks if row[TASK] >= 0 < n_tasks else NO_TASK
            if not many and row[NBYTES] > PAGES[-1]:
                row[NBYTES] = self._rng.choice(PAGES)

    def _later(self, rows: list[Row]) -> None:
        """Let the rows from one on come later."""
        gap = self._rng.choice(GAPS)
        for row in rows[self._rng.randrange(len(rows)) :]:
            for field in TIMES:
                if row[field] >= 0:
                    row[field] += gap

    def _took(self, rows: list[Row]) -> None:
        """Let one take another time, or never be seen to complete."""
        rng = self._rng
        row = rng.choice(rows)
        begin = max(row[QUEUE], row[ISSUE])
        row[COMPLETE] = -1 if rng.random() < 0.1 else begin + rng.choice(TOOK)

    def _waited(self, rows: list[Row]) -> None:
        """Let one wait from its queueing to its issue, or one of them be unseen."""
        rng = self._rng
        row = rng.choice(rows)
        seen = max(row[QUEUE], row[ISSUE])
        if rng.random() < 0.8:
            row[QUEUE], row[ISSUE] = max(0, seen - rng.randrange(2000)), seen
        elif rng.random() < 0.5:
            row[QUEUE], row[ISSUE] = -1, seen
        else:
            row[QUEUE], row[ISSUE] = seen, -1

    def _place(self, rows: list[Row]) -> None:
        """Put one elsewhere, often where another one is or ends."""
        rng = self._rng
        row, other = rng.choice(rows), rng.choice(rows)
        where = rng.randrange(4)
        if where == 0:
            row[SECTOR] = rng.choice(PLACES) * SECTORS_PER_PAGE
        elif where == 1:
            row[SECTOR] = other[SECTOR]
        elif where == 2:
            row[SECTOR] = other[SECTOR] + other[NBYTES] // 512
        else:
            row[SECTOR] = rng.randrange(80 * SECTORS_PER_PAGE)

    def _size(self, rows: list[Row]) -> None:
        """Give one another size."""
        many = self._setup.direct_io or self._rng.random() < MANY
        sizes = PAGES + MANY_PAGES if many else PAGES
        row = self._rng.choice(rows)
        row[NBYTES] = 512 * self._rng.randint(1, 64)
        if self._rng.random() < 0.7:
            row[NBYTES] = self._rng.choice(sizes)

    def _who(self, rows: list[Row]) -> None:
        """Let another cgroup, process or task issue one, or it be another device's."""
        rng, setup = self._rng, self._setup
        row = rng.choice(rows)
        what = rng.randrange(4)
        if what == 0:
            row[ISSUER] = row[RECORDED] = rng.randrange(len(setup.parent))
        elif what == 1:
            row[PID] = rng.randrange(4)
        elif what == 2:
            row[TASK] = rng.randint(-1, len(setup.task_cgroup) - 1)
        else:
            row[DEVICE] = rng.randrange(len(setup.devices))
            if rng.random() < 0.05:
                row[DEVICE] = NOT_REPLAYED

    def _what(self, rows: list[Row]) -> None:
        """Let one be another operation, have other flags, be of other bios."""
        rng = self._rng
        row = rng.choice(rows)
        row[OP] = rng.choice((0, 0, 0, 1, 1, 1, 1, 2, 3, 4))
        row[ROW_FLAGS] = rng.choice((0, 0, 0, 1, FLAGS["meta"], FAILED))
        row[N_BIOS] = rng.randrange(4)

    def _again(self, rows: list[Row]) -> None:
        """Let one come twice, at once or later."""
        row = self._rng.choice(rows).copy()
        gap = self._rng.choice(GAPS)
        for field in TIMES:
            if row[field] >= 0:
                row[field] += gap
        rows.append(row)

    def _extreme(self, row: Row) -> None:
        """Give one a value at its end."""
        rng = self._rng
        fields = [(SECTOR, SECTORS), (N_BIOS, BIOS), (PID, PIDS)]
        if self._setup.direct_io and not self._setup.interval_ns:
            # else each would be a million pages or intervals
            fields += [(NBYTES, SIZES), (COMPLETE, LATE)]
        field, values = rng.choice(fields)
        row[field] = rng.choice(values)


_BLOWS: Final[tuple[Callable[[Changes, list[Row]], None], ...]] = (
    *(Changes._later, Changes._took, Changes._waited, Changes._place),
    *(Changes._size, Changes._who, Changes._what, Changes._again),
)
