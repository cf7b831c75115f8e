"""Rules of a disk file's page cache that depend on the kernel's version."""

from typing import Any, Final

from msgspec import structs

from replay.engine.setup import Mglru
from replay.scenario.keys.kernel import KernelVersion
from replay.scenario.keys.kernel_rules import (
    DISK_DEFAULTS,
    EXT4_LARGE_FOLIOS,
    HAS_MGLRU,
    MGLRU_COUNTS_FIRST,
    MGLRU_IS_USUAL,
    MGLRU_SCANS_SHARE,
    READAHEAD_BY_MARKS,
    READAHEAD_ROUNDS,
    READAHEAD_STOPS,
    SHARE_FLOOR,
)
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.sizes import limit_pages
from replay.scenario.keys.values import BackingValues

KIB: Final = 1024
#: VM_READAHEAD_PAGES.
READAHEAD: Final = 128 * KIB
#: BLK_DEF_MAX_SECTORS_CAP, before 6.17 and from then on.
MAX_SECTORS_KB: Final = (1280, 4096)


def disk_of_version(backing: BackingValues, kernel: KernelVersion) -> BackingValues:
    """Fill in what a disk has by itself on a kernel.

    Parameters
    ----------
    backing : BackingValues
    kernel : KernelVersion

    Returns
    -------
    BackingValues
        With ``max_sectors_kb``, ``rotational`` and ``readahead``.
    """
    newer = DISK_DEFAULTS.holds(kernel)
    most = backing.max_sectors_kb or MAX_SECTORS_KB[newer]
    rotates = backing.rotational
    if rotates is None:
        rotates = newer
    readahead = backing.readahead
    if readahead is None:
        readahead = 2 * most * KIB if newer and rotates else READAHEAD
    return structs.replace(
        backing, max_sectors_kb=most, rotational=rotates, readahead=readahead
    )


def flat_page_cache(scenario: Scenario) -> dict[str, Any]:
    """Return the engine's parameters of a cached file."""
    kernel, backing = scenario.driver.kernel, scenario.backing
    assert kernel is not None
    return {
        "readahead_pages": limit_pages(backing.readahead),
        "readahead_by_marks": READAHEAD_BY_MARKS.holds(kernel),
        "readahead_stops": READAHEAD_STOPS.holds(kernel),
        "readahead_rounds": READAHEAD_ROUNDS.holds(kernel),
        "large_folios": backing.filesystem == "ext4"
        and EXT4_LARGE_FOLIOS.holds(kernel),
        "share_floor": SHARE_FLOOR.holds(kernel),
    }


def mglru_of(scenario: Scenario) -> Mglru:
    """Return the rules of the multi-generational LRU that hold, if it is on."""
    kernel, reclaim = scenario.driver.kernel, scenario.backing.reclaim
    assert kernel is not None
    if reclaim == "kernel":
        reclaim = "mglru" if MGLRU_IS_USUAL.holds(kernel) else "classic"
    if reclaim != "mglru" or not HAS_MGLRU.holds(kernel):
        return Mglru.NONE
    if MGLRU_SCANS_SHARE.holds(kernel):
        return Mglru.V7_2
    return Mglru.V6_14 if MGLRU_COUNTS_FIRST.holds(kernel) else Mglru.V6_12


def disk_notes(given: Scenario, scenario: Scenario) -> list[str]:
    """Note what is taken for granted of the disk below.

    Parameters
    ----------
    given : Scenario
        As the user wrote it.
    scenario : Scenario
        With what the trace decides filled in.

    Returns
    -------
    list of str
    """
    driver, backing = scenario.driver, scenario.backing
    assert driver.kernel is not None
    if driver.direct_io or backing.filesystem == "tmpfs":
        return []
    notes = []
    unsaid = (
        given.backing.readahead is None
        and given.backing.rotational is None
        and DISK_DEFAULTS.holds(driver.kernel)
    )
    if unsaid:
        assert backing.readahead is not None
        notes.append(
            f"backing.rotational is not given: a disk that says it rotates is assumed, "
            f"as qemu's do, which reads ahead {backing.readahead // 2**20}M on "
            f"driver.kernel {driver.kernel}; an SSD 128K"
        )
    limited = any(
        one.memory_max is not None or one.memory_high is not None
        for one in scenario.cgroups
    )
    if limited and backing.reclaim == "kernel" and MGLRU_IS_USUAL.holds(driver.kernel):
        notes.append(
            f"driver.kernel {driver.kernel}: the multi-generational LRU is taken to be "
            "on, as most distributions have it from 6.12 on, since the recording does "
            "not say; backing.reclaim does, as mglru or classic"
        )
    if limited and backing.reclaim == "mglru" and not HAS_MGLRU.holds(driver.kernel):
        notes.append(
            f"driver.kernel {driver.kernel} has no multi-generational LRU, which came "
            "with 6.1: pages are reclaimed from an inactive and an active list"
        )
    if SHARE_FLOOR.holds(driver.kernel) and scenario.machine.memory is None:
        notes.append(
            "machine.memory is not given: what a cgroup dirties first is taken to stay "
            "dirty until it is 30 s old, as on a machine with memory to spare"
        )
    return notes
