"""The model itself on random setups and rows, extreme ones among them.

Three oracles: the reference in Python says the same, to the last bit; what goes in
comes out; and relations that hold whatever is right.
"""

import time
from typing import Any, Final

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from msgspec.structs import replace

from replay.common.errors import ModelError
from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import NO_LIMIT, NOT_REPLAYED, Setup
from support.engines import difference, run_engine, run_reference
from support.strategies import runs

Run = tuple[Setup, Columns]

#: Setups and rows of one turn; with each of them the clock is looked at.
AT_ONCE: Final = 500
SECTORS: Final = (0, 1, 7, 8, 1 << 31, 1 << 32, (1 << 60) - 1, 1 << 60, (1 << 64) - 1)
SIZES: Final = (0, 1, 511, 512, 1 << 20, (1 << 31) + 1, (1 << 32) - 1)
BIOS: Final = (0, 1, 0xFFFF, 0x10000, (1 << 32) - 1)
PIDS: Final = (-(1 << 31), -1, 0, (1 << 31) - 1)
#: More pages than any row touches.
NEVER_MET: Final = 1 << 40


@st.composite
def extreme(draw: st.DrawFn, /) -> Run:
    """Return a run, some of whose values are at their ends."""
    setup, columns = draw(runs())
    values: dict[str, Any] = {}
    ends = {"sector": SECTORS, "n_bios": BIOS, "pid": PIDS}
    if setup.direct_io:
        # else each would be a million pages
        ends["nbytes"] = SIZES
    for name, sizes in ends.items():
        column = getattr(columns, name).copy()
        for row in draw(st.sets(st.integers(0, 40), max_size=3)):
            if row < len(column):
                column[row] = draw(st.sampled_from(sizes))
        values[name] = column
    return setup, replace(columns, **values)


def outcome(run: Any, setup: Setup, columns: Columns) -> Raw | str:
    """Return a result, or what was refused: the row alone, in whose words ever."""
    try:
        found: Raw = run(setup, columns)
    except ModelError as error:
        return str(error).partition(":")[0]
    return found


def check_same(run: Run) -> Raw | None:
    """The engine and the reference say the same, or refuse the same row."""
    fast, slow = outcome(run_engine, *run), outcome(run_reference, *run)
    if isinstance(fast, str) or isinstance(slow, str):
        assert fast == slow, (fast, slow)
        return None
    assert difference(slow, fast) is None
    return fast


def check_conserved(run: Run, raw: Raw) -> None:
    """Every row is counted once, and what was charged and given back is there."""
    counts = {name: int(value[0]) for name, value in raw["counts"].items()}
    fates = ("requests", "stopped", "read_only", "unissued", "other_devices")
    assert sum(counts[name] for name in fates) == len(run[1])
    assert counts["other_devices"] == (run[1].device == NOT_REPLAYED).sum()
    assert counts["in_flight"] == 0
    for name, values in raw["charges"].items():
        assert (values >= 0).all(), name


def without_memory(raw: Raw) -> dict[str, Any]:
    """What a limit that is never met does not change: all but what stocks hold."""
    left_out = ("memory", "requests", "timeline")
    return {name: table for name, table in raw.items() if name not in left_out}


def check_never_met(run: Run) -> None:
    """A limit of more than there is changes nothing."""
    setup, columns = run
    if (setup.memory_max != NO_LIMIT).any() or (setup.memory_high != NO_LIMIT).any():
        return
    if setup.interval_ns:
        return
    limits = np.full(len(setup.parent), NEVER_MET, np.int64)
    limits[0] = NO_LIMIT
    free, bound = (
        without_memory(run_engine(one, columns))
        for one in (setup, replace(setup, memory_max=limits))
    )
    assert difference(free, bound) is None


def fuzz_model(seconds: float, seed: int) -> tuple[int, int]:
    """Run for so long; return executions of the engine, and how many were refused."""
    ends = time.monotonic() + seconds
    done = [0, 0]

    while time.monotonic() < ends:
        seed += 1

        @seeded(seed)
        @settings(
            max_examples=AT_ONCE,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.one_of(runs(), extreme()))
        def turn(run: Run) -> None:
            if time.monotonic() >= ends:
                return
            raw = check_same(run)
            done[0] += 1
            if raw is None:
                done[1] += 1
                return
            check_conserved(run, raw)
            check_never_met(run)

        turn()
    return done[0], done[1]
