"""Notes on kernels: what of their rules is not known, and what they never had."""

from collections.abc import Iterator, Sequence
from typing import Final

from replay.scenario.keys.kernel import KernelVersion, kernel_in
from replay.scenario.keys.kernel_rules import (
    HIGH_IN_CHARGE,
    NEWEST,
    OLDEST,
    RULES,
    V7_DROPS_FUA,
    WORKER_PER_CGROUP,
    policy_of,
    text_of,
)
from replay.scenario.keys.load import Scenario
from replay.scenario.setup.tmpfs import copies_direct_io
from replay.trace.file.metadata import Metadata

#: Policies that some kernel's driver has of itself.
_DRIVERS: Final = ("root", "per-cgroup")


def kernel_notes(
    given: Scenario,
    scenario: Scenario,
    recorded: KernelVersion | None,
    devices: Sequence[int],
) -> list[str]:
    """Note what of the kernel's rules is a guess, and what it did not have.

    Parameters
    ----------
    given : Scenario
        As the user wrote it.
    scenario : Scenario
        With what the trace decides filled in.
    recorded : KernelVersion or None
        What the recording says that it was taken on.
    devices : sequence of int
        Those that are replayed, ``major << 20 | minor``.

    Returns
    -------
    list of str
    """
    driver, kernel, backing = scenario.driver, scenario.driver.kernel, scenario.backing
    assert kernel is not None
    notes = []
    if recorded is not None and given.trace.kernel not in (None, recorded):
        notes.append(
            f"trace.kernel = {given.trace.kernel}, but the recording was taken on "
            f"{recorded}, as its file `kernel` says"
        )
    said = given.driver.kernel or given.trace.kernel or recorded
    policy = driver.policy
    # who says that the trace was taken so need not be told
    strange = policy in _DRIVERS and policy not in (
        policy_of(kernel),
        given.trace.policy,
    )
    if said is not None and strange:
        notes.append(
            f"driver.policy = {policy}: driver.kernel {kernel} has {policy_of(kernel)} "
            "and never had this; all other rules are its own"
        )
    elif (
        driver.variant != "v14"
        and said is not None
        and not WORKER_PER_CGROUP.holds(kernel)
    ):
        notes.append(f"driver.variant: driver.kernel {kernel} had none of them")
    if not HIGH_IN_CHARGE.holds(kernel) and any(
        cgroup.memory_high is not None for cgroup in scenario.cgroups
    ):
        notes.append(
            f"memory.high: on driver.kernel {kernel} it holds no loop worker, only the "
            "tasks themselves, whose sleeps are not modelled"
        )
    if copies_direct_io(scenario, devices):
        notes.append(
            f"driver.direct_io: driver.kernel {kernel} takes it on tmpfs and copies as "
            "without: pages are charged"
        )
    if backing.huge == "within_size" and backing.file_size is None:
        notes.append(
            "backing.huge = within_size: backing.file_size is not given, so the file "
            "is taken to go on for ever"
        )
    if backing.huge != "never" and backing.filesystem != "tmpfs":
        notes.append("backing.huge has no effect: it is for backing.filesystem = tmpfs")
    if not OLDEST <= kernel.release <= NEWEST:
        nearest = OLDEST if kernel.release < OLDEST else NEWEST
        notes.append(
            f"driver.kernel {kernel}: nobody read its rules, which are taken to be "
            f"those of {text_of(nearest)}"
        )
    if kernel.takes_later_changes:
        notes.append(
            f"driver.kernel {kernel}: its distribution takes changes of later kernels "
            f"into it; the rules are those of {text_of(kernel.release)}, and which of "
            "the later ones it has is not known: replay verify holds a recording "
            "against them"
        )
    else:
        notes += _uncertain(scenario, kernel)
    return notes


def lost_notes(metadata: Metadata, kernel: KernelVersion | None) -> list[str]:
    """Note what a recording lacks by the version of its records.

    Parameters
    ----------
    metadata : Metadata
    kernel : KernelVersion or None
        That the trace was taken on, where the recording does not say it.

    Returns
    -------
    list of str
        At most one.
    """
    taken = kernel_in(metadata.kernel or "") or kernel
    if taken is None or metadata.record_version != 7 or not V7_DROPS_FUA.holds(taken):
        return []
    return [
        f"the trace was recorded as version 7 on kernel {taken}, which leaves out of "
        "it FUA writes (journal commits, O_DSYNC) and all write-zeroes: what they "
        "wrote, charged and waited is missing here; record version 8, which newer "
        "blktrace asks for, or compare with io.stat saved before and after"
    ]


def _uncertain(scenario: Scenario, kernel: KernelVersion) -> Iterator[str]:
    areas = asked_areas(scenario)
    for rule in RULES:
        if rule.area in areas and rule.is_uncertain(kernel):
            holds = rule.holds(kernel)
            taken, not_taken = rule.before, rule.after
            if holds:
                taken, not_taken = not_taken, taken
            yield (
                f"driver.kernel {kernel}: taken to be so: {taken}; it may be as "
                f"{'before' if holds else 'later'}: {not_taken}"
            )


def asked_areas(scenario: Scenario) -> set[str]:
    """Find the areas whose rules can change what a replay says.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.

    Returns
    -------
    set of str
        As in `Rule.area`.
    """
    driver, backing, cgroups = scenario.driver, scenario.backing, scenario.cgroups
    areas = set()
    if not driver.direct_io:
        areas |= {"driver", "tmpfs" if backing.filesystem == "tmpfs" else "cache"}
        if any(
            one.memory_max is not None or one.memory_high is not None for one in cgroups
        ):
            areas.add("memory")
    elif backing.filesystem == "tmpfs":
        areas.add("tmpfs")
    if backing.huge != "never":
        areas.add("huge")
    if any(one.io_max for one in cgroups):
        areas.add("throttle")
    if any(one.io_cost_qos for one in cgroups):
        areas.add("iocost")
    return areas
