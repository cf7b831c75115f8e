"""The engine alone: columns in memory to structs in memory."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from msgspec import structs

from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, Spent, repeat
from benchmarks.shape import PAGE_BYTES, SMALL_SIZES, Shape
from replay.engine._engine import Engine
from replay.engine.dependence import infer_streams
from replay.engine.setup import ArrivalEvent, ArrivalMode
from replay.runner.feed import parts
from replay.scenario.bind import Binding, bind
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.values import DiskValues, PipeValues
from replay.scenario.setup.disk import disk_fields
from replay.trace.file.read import Trace, open_trace

GIB: Final = 1 << 30
DIRECT: Final = {"trace": {"direct_io": True}, "driver": {"direct_io": True}}
LINEAR: Final = {"service": {"model": "linear"}}


def shape_of(bench: Bench, *, cgroups: int = 10, gib: int = 1) -> Shape:
    """Return the shape that engines are measured on: random writes of 4 KiB.

    Parameters
    ----------
    bench : Bench
    cgroups : int
        Any two requests in a row are likely of different ones: no cache helps.
    gib : int
        Size of the backing file.

    Returns
    -------
    Shape
    """
    return Shape(
        requests=bench.requests,
        cgroups=cgroups,
        processes=1,
        pages=gib * GIB // PAGE_BYTES,
        sizes=SMALL_SIZES,
        reads=0,
        discards=0,
        merges=0,
    )


def engine_of(
    bench: Bench, shape: Shape, scenario: Mapping[str, Any], repeats: int
) -> tuple[Spent, ...]:
    """Time the engine on a shape's rows under a scenario."""
    with open_trace(bench.rows(shape)) as trace:
        return timed(trace, bind(Scenario.from_dict(scenario), trace), repeats)


def timed(trace: Trace, binding: Binding, repeats: int) -> tuple[Spent, ...]:
    """Time the engine on a trace's rows, as they were bound."""
    held = list(parts(trace, binding, None))
    columns = [part.columns for part in held]
    services = [part.service_ns for part in held]
    dependent = binding.setup.mode == ArrivalMode.DEPENDENT
    streams = infer_streams(columns) if dependent else None

    def work() -> Engine:
        engine = Engine(binding.setup)
        if streams is not None:
            engine.follow(columns, services, streams)
        else:
            for part, service_ns in zip(columns, services, strict=True):
                engine.feed(part, service_ns)
        while engine.advance():
            pass
        return engine

    return repeat(work, repeats)


def _engine(
    name: str,
    bench: Bench,
    *,
    what: str,
    scenario: Mapping[str, Any],
    cgroups: int,
    gib: int,
    peer: str,
) -> Result:
    shape = shape_of(bench, cgroups=cgroups, gib=gib)
    if cgroups != 10:
        what += f", {cgroups:,} cgroups"
    return Result(
        case=name,
        what=what,
        unit="request",
        count=shape.requests,
        spent=engine_of(bench, shape, scenario, bench.repeats),
        peer=peer,
    )


def _disk(name: str, bench: Bench) -> Result:
    """Time the engine with the rows' device as a plain disk that is often full."""
    shape = shape_of(bench)
    part = PipeValues(base_ns=300, ns_per_byte=0.05, random_ns=0)
    disk = DiskValues(
        scheduler="mq-deadline",
        descriptors=256,
        requeue_ns=10_000,
        delay_ns=20_000,
        together=False,
        read=part,
        write=part,
        other_ns=1000,
    )
    with open_trace(bench.rows(shape)) as trace:
        asked = DIRECT | {"arrivals": {"event": "queue", "mode": "recorded"}}
        binding = bind(Scenario.from_dict(asked), trace)
        setup = structs.replace(
            binding.setup, event=ArrivalEvent.QUEUE, **disk_fields([disk])
        )
        spent = timed(trace, structs.replace(binding, setup=setup), bench.repeats)
    return Result(
        case=name,
        what="a plain disk: mq-deadline, a ring of 256, one pipe",
        unit="request",
        count=shape.requests,
        spent=spent,
    )


def _streams(name: str, bench: Bench) -> Result:
    shape = shape_of(bench)
    with open_trace(bench.rows(shape)) as trace:
        binding = bind(Scenario.from_dict({}), trace)
        columns = [part.columns for part in parts(trace, binding, None)]
        spent = repeat(lambda: infer_streams(columns), bench.repeats)
    return Result(
        case=name,
        what="what each request waited for, inferred (dependent arrivals)",
        unit="request",
        count=shape.requests,
        spent=spent,
    )


def engine_case(
    name: str,
    what: str,
    *scenarios: Mapping[str, Any],
    cgroups: int = 10,
    gib: int = 1,
    peer: str = "",
    slow: bool = False,
) -> Case:
    """Make a case of the engine; sections of several scenarios are joined.

    Parameters
    ----------
    name, what : str
        The name goes behind ``engine.``.
    *scenarios : mapping
    cgroups, gib : int
        As in `shape_of`.
    peer : str
        Case that it is held against.
    slow : bool
        Whether a quick run leaves it out.

    Returns
    -------
    Case
    """
    scenario: dict[str, Any] = {}
    for one in scenarios:
        for section, values in one.items():
            scenario[section] = {**scenario.get(section, {}), **values}
    return Case(
        name=f"engine.{name}",
        run=partial(
            _engine,
            what=what,
            scenario=scenario,
            cgroups=cgroups,
            gib=gib,
            peer=peer,
        ),
        slow=slow,
    )


def _policy(name: str) -> dict[str, Any]:
    return {"driver": {"policy": name}, "trace": {"policy": name}}


ENGINE: list[Case] = [
    *(
        engine_case(f"direct.{name}", f"{name}, direct I/O", DIRECT, _policy(name))
        for name in ("root", "naive", "per-cgroup")
    ),
    *(
        engine_case(f"tmpfs-1GiB.{name}", f"{name}, tmpfs, 1 GiB", _policy(name))
        for name in ("root", "naive", "per-cgroup")
    ),
    engine_case(
        "tmpfs-100GiB.per-cgroup",
        "per-cgroup, tmpfs, 100 GiB",
        gib=100,
        peer="engine.tmpfs-1GiB.per-cgroup",
    ),
    *(
        engine_case(
            f"direct.per-cgroup.{cgroups}-cgroups",
            "per-cgroup, direct I/O",
            DIRECT,
            cgroups=cgroups,
            peer="engine.direct.per-cgroup",
            slow=cgroups == 1000,
        )
        for cgroups in (1000, 100_000)
    ),
    *(
        engine_case(
            f"tmpfs-1GiB.per-cgroup.{cgroups}-cgroups",
            "per-cgroup, tmpfs, 1 GiB",
            cgroups=cgroups,
            peer="engine.tmpfs-1GiB.per-cgroup",
            slow=cgroups == 1000,
        )
        for cgroups in (1000, 100_000)
    ),
    engine_case(
        "dependent.direct",
        "per-cgroup, direct I/O, dependent arrivals",
        DIRECT,
        {"arrivals": {"mode": "dependent"}},
    ),
    engine_case(
        "dependent.tmpfs-1GiB",
        "per-cgroup, tmpfs, 1 GiB, dependent arrivals",
        {"arrivals": {"mode": "dependent"}},
    ),
    Case(name="engine.streams", run=_streams),
    Case(name="engine.disk", run=_disk),
    engine_case(
        "queue.direct",
        "as direct, arrivals by Q",
        DIRECT,
        {"arrivals": {"event": "queue"}},
    ),
    engine_case("linear.direct", "per-cgroup, direct I/O, linear", DIRECT, LINEAR),
    engine_case("linear.tmpfs-1GiB", "per-cgroup, tmpfs, 1 GiB, linear", LINEAR),
]
