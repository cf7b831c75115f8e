"""Rules of a file on tmpfs that depend on the kernel's version."""

from collections.abc import Sequence
from typing import Any, Final

from replay.common.errors import ScenarioError
from replay.engine.setup import Huge, HugeOrders
from replay.scenario.keys.kernel import is_loop
from replay.scenario.keys.kernel_rules import (
    HOLES_READ_FREE,
    HUGE_BY_WRITE,
    HUGE_FITTING,
    REFUSALS_COUNT,
    TMPFS_DIRECT,
)
from replay.scenario.keys.load import Scenario

_HUGE: Final = {
    "never": Huge.NEVER,
    "always": Huge.ALWAYS,
    "within_size": Huge.WITHIN_SIZE,
}


def copies_direct_io(scenario: Scenario, devices: Sequence[int]) -> bool:
    """Return True if direct I/O is asked for on tmpfs, which copies all the same.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int
        Those that are replayed, ``major << 20 | minor``.

    Returns
    -------
    bool
    """
    return (
        scenario.backing.filesystem == "tmpfs"
        and bool(scenario.driver.direct_io)
        and any(map(is_loop, devices))
    )


def check_direct_io(scenario: Scenario, devices: Sequence[int]) -> None:
    """Refuse direct I/O where the kernel does.

    Raises
    ------
    ScenarioError
        The file lies on tmpfs and the kernel is before 6.6.
    """
    kernel = scenario.driver.kernel
    assert kernel is not None
    if copies_direct_io(scenario, devices) and not TMPFS_DIRECT.holds(kernel):
        raise ScenarioError(
            f"{scenario.source}: driver.direct_io: kernel {kernel} refuses direct I/O "
            "on tmpfs (6.6 and later take it): set it to false, or name another "
            "backing.filesystem or driver.kernel"
        )


def flat_tmpfs(scenario: Scenario) -> dict[str, Any]:
    """Return the engine's parameters of a file on tmpfs."""
    kernel = scenario.driver.kernel
    assert kernel is not None
    orders = HugeOrders.LARGEST
    if HUGE_FITTING.holds(kernel):
        orders = HugeOrders.FITTING
    elif HUGE_BY_WRITE.holds(kernel):
        orders = HugeOrders.WRITE
    tmpfs = scenario.backing.filesystem == "tmpfs"
    return {
        "hole_reads_charge": tmpfs and not HOLES_READ_FREE.holds(kernel),
        "huge": _HUGE[scenario.backing.huge] if tmpfs else Huge.NEVER,
        "huge_orders": orders,
        "refusals_count": REFUSALS_COUNT.holds(kernel),
    }
