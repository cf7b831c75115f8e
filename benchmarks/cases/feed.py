"""What stands between a trace file and the engine: open, bind, resolve, service."""

from functools import partial

import numpy as np

from benchmarks.cases.engine import shape_of
from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, repeat
from replay.engine._service import Services
from replay.engine.columns import Columns
from replay.runner.feed import parts
from replay.scenario.bind import bind
from replay.scenario.keys.load import Scenario
from replay.trace.file.read import open_trace


def _open(name: str, bench: Bench, *, cgroups: int) -> Result:
    path = bench.rows(shape_of(bench, cgroups=cgroups))

    def work() -> None:
        with open_trace(path) as trace:
            for _ in trace.batches():
                pass

    return Result(
        case=name,
        what=f"open a trace file and check its values, {cgroups:,} cgroups",
        unit="request",
        count=bench.requests,
        spent=repeat(work, bench.repeats),
    )


def _resolve(name: str, bench: Bench, *, cgroups: int) -> Result:
    path = bench.rows(shape_of(bench, cgroups=cgroups))
    with open_trace(path) as trace:
        batches = list(trace.batches())
        scenario = Scenario.from_dict({})

        def work() -> None:
            resolver = bind(scenario, trace).resolver
            for batch in batches:
                resolver.resolve(batch)

        spent = repeat(work, bench.repeats)
    return Result(
        case=name,
        what=f"bind a scenario and resolve every row, {cgroups:,} cgroups",
        unit="request",
        count=bench.requests,
        spent=spent,
    )


def _service(name: str, bench: Bench, *, policy: str) -> Result:
    path = bench.rows(shape_of(bench))
    with open_trace(path) as trace:
        scenario = Scenario.from_dict(
            {"trace": {"policy": "root"}, "driver": {"policy": policy}}
        )
        binding = bind(scenario, trace)
        columns: list[Columns] = [part.columns for part in parts(trace, binding, None)]
        outs = [np.empty(len(part), np.int64) for part in columns]

        def work() -> None:
            services = Services(binding.setup)
            for part, out in zip(columns, outs, strict=True):
                services.fill(part, out)
            services.end()

        spent = repeat(work, bench.repeats)
    return Result(
        case=name,
        what=f"recorded service, traced under root, asked under {policy}",
        unit="request",
        count=bench.requests,
        spent=spent,
    )


FEED: list[Case] = [
    Case(name="feed.open", run=partial(_open, cgroups=10)),
    Case(name="feed.resolve", run=partial(_resolve, cgroups=10)),
    Case(
        name="feed.resolve-100000-cgroups",
        run=partial(_resolve, cgroups=100_000),
        slow=True,
    ),
    Case(name="feed.service", run=partial(_service, policy="root")),
    Case(name="feed.service-other", run=partial(_service, policy="per-cgroup")),
]
