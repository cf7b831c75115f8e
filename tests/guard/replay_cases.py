"""Feed the engine a batch for each case; run under callgrind by the test beside it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from replay.engine._engine import Engine
from replay.engine._service import Services
from replay.engine.columns import NO_TASK, Columns
from replay.engine.dependence import infer_streams
from replay.engine.setup import ArrivalEvent, ArrivalMode, Policy, ServiceModel, Setup

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.engines import columns_of as rows_of
from support.engines import request, setup_of, write

N_REQUESTS: Final = 20_000
PAGES: Final = 1 << 18
S: Final = 10**9


def columns_of(n_cgroups: int) -> Columns:
    """Return writes of a page at random places, by random cgroups, about 32 at once."""
    random = np.random.Generator(np.random.PCG64(1))
    issue = np.arange(N_REQUESTS, dtype=np.int64) * 4000
    took = 80_000 + random.integers(0, 100_000, N_REQUESTS)
    issuer = random.integers(1, n_cgroups + 1, N_REQUESTS).astype(np.uint32)
    return Columns(
        row=np.arange(N_REQUESTS, dtype=np.int64),
        queue_ns=issue - 2000,
        issue_ns=issue,
        complete_ns=issue + took,
        sector=random.integers(0, PAGES, N_REQUESTS).astype(np.uint64) * 8,
        nbytes=np.full(N_REQUESTS, 4096, np.uint32),
        n_bios=np.ones(N_REQUESTS, np.uint32),
        op=np.ones(N_REQUESTS, np.int8),
        flags=np.zeros(N_REQUESTS, np.uint16),
        pid=issuer.astype(np.int32),
        issuer=issuer,
        recorded=issuer,
        device=np.zeros(N_REQUESTS, np.uint16),
        task=np.full(N_REQUESTS, NO_TASK, np.int32),
    )


def flat(n_cgroups: int, **fields: Any) -> Setup:
    """Return a setup of cgroups below one, replayed under the driver it ran under."""
    values: dict[str, Any] = {
        "policy": Policy.PER_CGROUP,
        "trace_policy": Policy.PER_CGROUP,
        "service": ServiceModel.RECORDED,
    }
    return setup_of([-1, *[0] * n_cgroups], **(values | fields))


DIRECT: Final[dict[str, Any]] = {
    "direct_io": True,
    "trace_direct_io": True,
    "tmpfs": False,
}
LINEAR: Final[dict[str, Any]] = {
    "service": ServiceModel.LINEAR,
    "write_base_ns": 3000,
    "lock_per_page": True,
}
QUEUE: Final[dict[str, Any]] = {"event": ArrivalEvent.QUEUE}


def io_limits(n_cgroups: int) -> dict[str, Any]:
    """Return ``io.max`` and ``io.weight`` on the device, which nobody reaches."""
    n = n_cgroups
    return {
        "iomax_cgroup": np.arange(1, n + 1, dtype=np.uint32),
        "iomax_device": np.zeros(n, np.int32),
        "iomax_rbps": np.full(n, -1),
        "iomax_wbps": np.full(n, 120_000_000),
        "iomax_riops": np.full(n, -1),
        "iomax_wiops": np.full(n, 30_000),
        "iocost_device": np.zeros(1, np.int32),
        "iocost_coefficients": np.array([[1000, 400_000, 400_000] * 2]),
        "iocost_qos": np.array([[0, 0, 0, 0, 1_000_000, 1_000_000]]),
        "iocost_weight": np.array(
            [[100, *(100 * (1 + i % 3) for i in range(n))]], "u4"
        ),
    }


def kills() -> tuple[Setup, Columns]:
    """Return tasks below one full parent: half of what they write ends in a kill.

    They write once each, a page and a second apart, and later they would once more.
    """
    n = N_REQUESTS // 2
    setup = setup_of(
        [-1, 0, *[1] * n],
        limits={1: n // 2},
        tasks=[(2 + i, 1, 2) for i in range(n)],
    )
    rows = [write(i * 3 * S, 2 + i, page=i, task=i) for i in range(n)]
    rows += [request((n + i) * 3 * S, 2 + i, "read", task=i) for i in range(n)]
    return setup, rows_of(rows)


CASES: Final[dict[str, Callable[[], tuple[Setup, Columns]]]] = {
    "direct": lambda: (flat(10, **DIRECT), columns_of(10)),
    "direct, 2,000 cgroups": lambda: (flat(2000, **DIRECT), columns_of(2000)),
    "dependent, direct": lambda: (
        flat(10, mode=ArrivalMode.DEPENDENT, **DIRECT),
        columns_of(10),
    ),
    "tmpfs": lambda: (flat(10, tmpfs=True), columns_of(10)),
    "tags, lock, memory.max": lambda: (
        flat(10, tmpfs=True, limits={0: 1 << 30, 1: 1 << 20}, **QUEUE, **LINEAR),
        columns_of(10),
    ),
    "all stages": lambda: (
        flat(
            10,
            tmpfs=True,
            limits={0: 1 << 30, 1: 1 << 20},
            highs=dict.fromkeys(range(1, 11), 1 << 20),
            **QUEUE,
            **LINEAR,
            **io_limits(10),
        ),
        columns_of(10),
    ),
    "kills": kills,
}


def main() -> None:
    """Feed each case once, in their order: callgrind dumps its counts ahead of each."""
    for make in CASES.values():
        setup, columns = make()
        service_ns = np.empty(len(columns), np.int64)
        services = Services(setup)
        services.fill(columns, service_ns)
        services.end()
        engine = Engine(setup)
        if setup.mode == ArrivalMode.DEPENDENT:
            engine.follow([columns], [service_ns], infer_streams([columns]))
            while engine.advance():
                pass
        else:
            engine.feed(columns, service_ns)


if __name__ == "__main__":
    main()
