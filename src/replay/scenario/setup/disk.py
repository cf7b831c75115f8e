"""Plain disks as the engine is told of them: as given, else as identified."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from msgspec import structs

from replay.engine.setup import NS_PER_BYTE_SHIFT, Scheduler
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.values import DiskValues, PipeValues

#: By the name that the key has.
SCHEDULERS: Final = {
    "none": Scheduler.NONE,
    "mq-deadline": Scheduler.DEADLINE,
    "bfq": Scheduler.BFQ,
}
_NAMES: Final = {scheduler: name for name, scheduler in SCHEDULERS.items()}


class Identified(Protocol):
    """A disk's parameters from a trace; see `replay.runner.identify.Disk`."""

    @property
    def scheduler(self) -> Scheduler:
        """The order of requests."""

    @property
    def descriptors(self) -> int:
        """Of its ring, 0 where that was never full."""

    @property
    def requeue_ns(self) -> int:
        """From a completion until what was refused is issued again."""

    @property
    def delay_ns(self) -> int:
        """A request's further time, alone."""

    @property
    def together(self) -> bool:
        """Whether it answers when it has served all that it has."""

    @property
    def pipe(self) -> tuple[int, ...]:
        """A row of ``Setup.disk_pipe``."""


def is_complete(disk: DiskValues) -> bool:
    """Return True if nothing is left to be identified."""
    return all(
        value is not None
        for part in (disk, disk.read, disk.write)
        for value in structs.astuple(part)
    )


def completed(disk: DiskValues, found: Identified) -> DiskValues:
    """Fill in what is not given.

    Parameters
    ----------
    disk : DiskValues
    found : Identified

    Returns
    -------
    DiskValues
    """
    pipe = found.pipe
    values = DiskValues(
        scheduler=_NAMES[found.scheduler],
        descriptors=found.descriptors,
        requeue_ns=found.requeue_ns,
        delay_ns=found.delay_ns,
        together=found.together,
        read=_part(disk.read, pipe[:3]),
        write=_part(disk.write, pipe[3:6]),
        other_ns=pipe[6],
    )
    given = {
        name: value
        for name, value in structs.asdict(disk).items()
        if value is not None and name not in ("read", "write")
    }
    return structs.replace(values, **given)


def disk_fields(disks: Sequence[DiskValues | None]) -> dict[str, Any]:
    """Return the fields of `Setup`.

    Parameters
    ----------
    disks : sequence of (DiskValues or None)
        Complete, one for each device; None for one whose queue is not replayed.

    Returns
    -------
    dict of str to ndarray
    """
    return {
        "disk_scheduler": np.array(
            [-1 if one is None else SCHEDULERS[str(one.scheduler)] for one in disks],
            np.int8,
        ),
        "disk_pipe": np.array(
            [[0] * 7 if one is None else _pipe(one) for one in disks], np.int64
        ).reshape(len(disks), 7),
        "disk_together": np.array(
            [one is not None and bool(one.together) for one in disks], np.bool_
        ),
        **{
            f"disk_{name}": np.array(
                [0 if one is None else getattr(one, name) for one in disks], np.int64
            )
            for name in ("descriptors", "requeue_ns", "delay_ns")
        },
    }


def shares_by_weight(scenario: Scenario) -> bool:
    """Return True if ``io.bfq.weight`` counts on the plain disks themselves."""
    return scenario.service.model == "device" and scenario.disk.scheduler == "bfq"


def _part(given: PipeValues, found: tuple[int, ...]) -> PipeValues:
    base, rate, seek = found
    values = PipeValues(
        base_ns=base, ns_per_byte=rate / (1 << NS_PER_BYTE_SHIFT), random_ns=seek
    )
    told = structs.asdict(given).items()
    return structs.replace(values, **{k: v for k, v in told if v is not None})


def _pipe(disk: DiskValues) -> list[int]:
    """Return the pipe's times, rates in 2**-20 ns."""
    times: list[int] = []
    for part in (disk.read, disk.write):
        assert part.base_ns is not None
        assert part.ns_per_byte is not None
        assert part.random_ns is not None
        rate = int(part.ns_per_byte * (1 << NS_PER_BYTE_SHIFT) + 0.5)
        times += [part.base_ns, rate, part.random_ns]
    assert disk.other_ns is not None
    return [*times, disk.other_ns]
