"""The model itself on random setups and rows, extreme ones among them.

Three oracles: the reference in Python says the same, to the last bit; what goes in
comes out; and relations that hold whatever is right. An execution is a setup with rows
that both the engine and the reference replayed; the engine's other runs, by its
shortcuts and for the relations, count by themselves.
"""

import pickle
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from varied import Changes, Run, drawn_runs  # type: ignore[import-not-found]

from replay.common.errors import ModelError
from replay.engine._engine import Engine
from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.reference.state.row_checks import arrival_of
from replay.engine.setup import NO_LIMIT, NOT_REPLAYED, ArrivalMode, Setup, Stage
from replay.engine.shortcuts import Shortcut
from support.engines import difference, run_once, run_reference
from support.relations import (
    renumbered,
    renumbered_result,
    renumbering,
    with_idle_cgroup,
    without_idle_cgroup,
)

#: Runs that are drawn at once, and runs that are made of them.
DRAWN, MADE = 40, 8_000
#: More pages than any row touches.
NEVER_MET: Final = 1 << 40
#: Ends of what compiled code holds (``engine/state/events.pxd``): times of a trace, of
#: a replay, and sums of waits.
TRACE_END_NS, REPLAY_END_NS, SUM_END_NS = 1 << 53, 1 << 54, 1 << 62
#: The reference takes seconds for so many periods.
LONG_NS: Final = 500 * 10**9
#: What the reference came to does not fit 64 bits.
NO_TABLE: Final = "no table"
#: Where a run that fails is kept.
FOUND: Final = Path(__file__).parents[2] / "build" / "fuzz"
STAGES: Final = tuple(
    f"{stage.name.lower()}_ns" for stage in Stage if stage != Stage.TOTAL
)


class Oracles:
    """Replays runs and asks the oracles; counts what was done.

    Parameters
    ----------
    rng : Random
        Which relations are asked.

    Attributes
    ----------
    done : Counter
        Executions, runs of the engine, refused ones, and relations by their names.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._setup: Setup | None = None
        self._shortcut = Shortcut.NONE
        self.done: Counter[str] = Counter()

    def engine(self, setup: Setup, columns: Columns, **how: Any) -> Raw:
        """Replay with the engine."""
        self.done["engine"] += 1
        return run_once(setup, columns, **{"requests": True, **how})

    def check(self, run: Run) -> None:
        """Ask all of a run but the relations, and one of these for some."""
        raw = outcome(self.engine, *run)
        if is_long(run[0], raw):
            # the reference goes through each period of it
            self.done["long"] += 1
        else:
            self.check_same(run, raw)
            self.done["executions"] += 1
            self.done["refused"] += isinstance(raw, str)
        if isinstance(raw, str):
            return
        check_conserved(run, raw)
        self.check_shortcut(run, raw)
        if self._rng.random() < 0.15:
            name = self._rng.choice(list(RELATIONS))
            if RELATIONS[name](self, run, raw):
                self.done[name] += 1

    def check_same(self, run: Run, fast: Raw | str) -> None:
        """The reference says what the engine said, or refuses the same row."""
        slow = outcome(run_reference, *run)
        if slow == NO_TABLE:
            assert isinstance(fast, str), "more than a table of the reference holds"
        elif isinstance(fast, str) and not isinstance(slow, str):
            # Python's whole numbers have no end
            assert beyond(fast, run, slow), fast
        elif isinstance(fast, str) or isinstance(slow, str):
            assert isinstance(fast, str), f"refused by the reference alone: {slow}"
            assert fast.partition(":")[0] == str(slow).partition(":")[0], (fast, slow)
        else:
            same(slow, fast, "the reference, and the engine")

    def check_shortcut(self, run: Run, raw: Raw) -> None:
        """Without a row for each request the engine takes shorter ways: none shows."""
        setup = run[0]
        if setup is not self._setup:
            self._setup, self._shortcut = setup, Engine(setup).shortcut
        if self._rng.random() < (0.95 if self._shortcut == Shortcut.NONE else 0.7):
            return
        tell_after = self._rng.choice((1, 1 << 31))
        short = self.engine(*run, requests=False, tell_after=tell_after)
        same({**raw, "requests": short["requests"]}, short, "by events, and by less")

    # -- relations: each returns True if the run is one for it ---------------------

    def check_batches(self, run: Run, raw: Raw) -> bool:
        """Rows given in other batches change nothing."""
        batch_rows = self._rng.randint(1, 3)
        same(raw, self.engine(*run, batch_rows=batch_rows), f"batches of {batch_rows}")
        return True

    def check_idle_cgroup(self, run: Run, raw: Raw) -> bool:
        """A cgroup that does nothing changes nothing."""
        setup, columns = run
        more = self.engine(with_idle_cgroup(setup), columns)
        same(raw, without_idle_cgroup(more), "with a cgroup that does nothing")
        return True

    def check_renumbered(self, run: Run, raw: Raw) -> bool:
        """Cgroups permuted are permuted in the result."""
        new = renumbering(run[0], self._rng.choice)
        found = self.engine(*renumbered(run[0], run[1], new))
        same(renumbered_result(raw, new), found, f"cgroups as {new.tolist()}")
        return True

    def check_cut(self, run: Run, raw: Raw) -> bool:
        """What lies before a moment with nothing in flight is as if cut there."""
        setup, columns = run
        if setup.mode != ArrivalMode.RECORDED:
            return False
        places = cuts(run, raw)
        if not places:
            return False
        at = self._rng.choice(places)
        part = self.engine(setup, columns.take(slice(0, at)))
        whole = {
            name: values[raw["requests"]["row"] < at]
            for name, values in raw["requests"].items()
        }
        same({"requests": whole}, {"requests": part["requests"]}, f"cut before {at}")
        before = raw["kills"]["row"] < at
        kills = {name: values[before] for name, values in raw["kills"].items()}
        same({"kills": kills}, {"kills": part["kills"]}, f"cut before {at}")
        return True

    def check_never_met(self, run: Run, raw: Raw) -> bool:
        """A limit of more than there is changes nothing."""
        setup, columns = run
        if setup.interval_ns:
            return False
        free = unlimited(setup)
        never = np.full(len(setup.parent), NEVER_MET, np.int64)
        never[0] = NO_LIMIT
        without = self.engine(free, columns)
        bound = self.engine(replace(free, memory_max=never), columns)
        same(without_memory(without), without_memory(bound), "with limits never met")
        return True

    def check_higher(self, run: Run, raw: Raw) -> bool:
        """A higher limit kills no earlier, and nobody where the lower one was not met.

        Later it may: whom the lower one killed would have gone on to write.
        """
        setup, columns = run
        n_cgroups = len(setup.parent)
        if setup.cached or setup.interval_ns or n_cgroups == 1:
            return False
        one = self._rng.randrange(1, n_cgroups)
        free = unlimited(setup)
        limits = free.memory_max.copy()
        limits[one] = self._rng.choice((0, 1, 2, 5, 20, 70, 140))
        lower = self.engine(replace(free, memory_max=limits), columns)
        limits = limits.copy()
        limits[one] += self._rng.choice((1, 2, 10, 64, 200))
        higher = self.engine(replace(free, memory_max=limits), columns)
        kills, later = lower["kills"]["time_ns"], higher["kills"]["time_ns"]
        if not lower["memory"]["max"].any():
            same(without_memory(lower), without_memory(higher), "a higher limit")
        elif len(kills) and not (lower["errors"]["first_ns"] < kills[0]).any():
            assert not len(later) or later[0] >= kills[0], (kills, later)
        else:
            return False
        return True


Relation = Callable[[Oracles, Run, Raw], bool]
RELATIONS: Final[dict[str, Relation]] = {
    "batches": Oracles.check_batches,
    "idle cgroup": Oracles.check_idle_cgroup,
    "permuted": Oracles.check_renumbered,
    "cut": Oracles.check_cut,
    "never met": Oracles.check_never_met,
    "higher limit": Oracles.check_higher,
}


def is_long(setup: Setup, raw: Raw | str) -> bool:
    """Return True if periods of a controller, of ms, go on for longer than LONG_NS."""
    if not len(setup.iocost_device) and not len(setup.iolatency_device):
        return False
    if isinstance(raw, str):
        return "208 days" in raw
    return int(raw["counts"]["end_ns"][0]) > LONG_NS


def outcome(run: Callable[..., Raw], setup: Setup, columns: Columns) -> Raw | str:
    """Return a result, or why it was refused."""
    try:
        return run(setup, columns)
    except ModelError as error:
        return str(error)
    except OverflowError:
        # the reference's numbers have no end, its tables' have
        return NO_TABLE


def beyond(refused: str, run: Run, raw: Raw) -> bool:
    """Return True if a run has times or sums that compiled code does not hold."""
    _, columns = run
    if "104 days" in refused:
        row = int(refused.removeprefix("row ").partition(":")[0])
        times = (columns.queue_ns, columns.issue_ns, columns.complete_ns)
        return any(int(one[row]) >= TRACE_END_NS for one in times)
    if "208 days" in refused:
        return int(raw["counts"]["end_ns"][0]) >= REPLAY_END_NS
    assert "146 years" in refused, refused
    return bool((raw["latency"]["sum_ns"] >= SUM_END_NS).any())


def same(wanted: Any, found: Any, what: str) -> None:
    """Two results are the same, to the last bit."""
    for table, columns in wanted.items():
        others = found[table]
        for name, values in columns.items():
            other = others[name]
            if values.dtype != other.dtype or values.tobytes() != other.tobytes():
                raise AssertionError(f"{what}: {difference(wanted, found)}")
    assert wanted.keys() == found.keys(), what


def check_conserved(run: Run, raw: Raw) -> None:
    """Every row is counted once, and what was charged and given back is there."""
    setup, columns = run
    counts = {name: int(value[0]) for name, value in raw["counts"].items()}
    assert counts["other_devices"] == (columns.device == NOT_REPLAYED).sum()
    assert counts["in_flight"] == 0
    for name, values in raw["charges"].items():
        assert (values >= 0).all(), name
    requests = raw["requests"]
    waited = requests["arrival_ns"].copy()
    for name in STAGES:
        assert (requests[name] >= 0).all(), name
        waited += requests[name]
    known = requests["completion_ns"] >= 0
    assert (waited[known] == requests["completion_ns"][known]).all()
    if setup.nested >= 0:
        # a request of the outer device is one of the inner device as well
        return
    fates = ("requests", "stopped", "read_only", "unissued", "other_devices")
    assert sum(counts[name] for name in fates) == len(columns)
    rows = requests["row"]
    assert len(rows) == counts["requests"] == len(set(rows.tolist()))
    nbytes = sum(
        int(raw["charges"][name].sum()) for name in ("rbytes", "wbytes", "dbytes")
    )
    assert nbytes == int(columns.nbytes[rows].sum(dtype=np.int64))
    kept = raw["charges"]["charged_bytes"] - raw["charges"]["uncharged_bytes"]
    if setup.laid_out_by < 0 or not setup.tmpfs:
        pages = raw["memory"]["own_shmem"] + raw["memory"]["own_file"]
        assert int(kept.sum()) == 4096 * int(pages.sum())


def cuts(run: Run, raw: Raw) -> list[int]:
    """Return rows before whose arrival all others have ended, as recorded too."""
    setup, columns = run
    n_rows = len(columns)
    ends = np.full(n_rows, -1, np.int64)
    requests = raw["requests"]
    end = requests["arrival_ns"].copy()
    for name in STAGES:
        end += requests[name]
    # on a device that lies on another one a row ends twice
    np.maximum.at(ends, requests["row"], end)
    ends = np.maximum(ends, columns.complete_ns)
    found, last = [], -1
    for row in range(n_rows):
        if row and last < arrival_of(setup, columns, row):
            found.append(row)
        last = max(last, int(ends[row]))
    return found


def unlimited(setup: Setup) -> Setup:
    """Return a setup without limits of memory."""
    none = np.full(len(setup.parent), NO_LIMIT, np.int64)
    return replace(setup, memory_max=none, memory_high=none)


def without_memory(raw: Raw) -> dict[str, Any]:
    """What a limit that is never met does not change: all but what stocks hold."""
    left_out = ("memory", "requests", "timeline")
    return {name: table for name, table in raw.items() if name not in left_out}


def fuzz_model(
    seconds: float, seed: int, executions: int | None = None
) -> Counter[str]:
    """Run for so long, or for so many executions; return what was done."""
    ends = time.monotonic() + seconds
    rng = random.Random(seed)
    oracles = Oracles(rng)
    done = oracles.done

    def goes_on() -> bool:
        if executions is not None:
            return done["executions"] < executions
        return time.monotonic() < ends

    while goes_on():
        n_drawn = DRAWN if executions is None else min(DRAWN, 1 + executions // 100)
        made = Changes(drawn_runs(n_drawn, rng.getrandbits(32)), rng)
        for _ in range(MADE):
            if not goes_on():
                break
            run = made.next()
            try:
                oracles.check(run)
            except BaseException as error:
                keep(run, f"{seed}-{done['executions']}", error)
                raise
    return done


def keep(run: Run, name: str, error: BaseException) -> None:
    """Keep a run that failed, and say where."""
    if isinstance(error, KeyboardInterrupt):
        return
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"model-{name}.pickle"
    path.write_bytes(pickle.dumps(run))
    print(f"the setup and its rows: {path}")
