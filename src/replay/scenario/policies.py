"""The driver policies: the one table that checks, commands and documents share."""

from dataclasses import dataclass
from typing import Final

from replay.engine.setup import Policy

#: Policies under which one queue serves everybody.
ONE_QUEUE: Final = ("root", "naive", "instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """What one policy changes.

    Attributes
    ----------
    name : str
        As in ``driver.policy``.
    engine : Policy
        What the engine is told.
    server : str
        Who serves a command.
    memory : str
        Who pays for the pages that it touches.
    io : str
        Who pays for its I/O on the device below.
    blocked : str
        Who waits where a limit is met.
    origin : str
        Where it comes from.
    text : str
        What else a reader must know; may be empty.
    exists : bool
        A kernel has it or had it, so a trace may have been taken under it.
    """

    name: str
    engine: Policy
    server: str
    memory: str
    io: str
    blocked: str
    origin: str
    text: str = ""
    exists: bool = False


_SHARED: Final = "who sleeps, its own queue, and who wants the backing file's lock"

#: In the order in which they are listed.
POLICIES: Final = (
    PolicyRow(
        name="root",
        engine=Policy.ROOT,
        server="one queue for each device",
        memory="root",
        io="root; with direct I/O reads and writes the issuer's blkcg",
        blocked="everybody, behind direct I/O that waits; else nobody",
        origin="the driver up to 5.13",
        exists=True,
    ),
    PolicyRow(
        name="naive",
        engine=Policy.NAIVE,
        server="one queue for each device",
        memory="the memory css nearest to the issuer's blkcg",
        io="the issuer's blkcg",
        blocked="everybody, behind the one that is blocked",
        origin="what the series' cover letter warns of",
    ),
    PolicyRow(
        name="per-cgroup",
        engine=Policy.PER_CGROUP,
        server="a queue for each blkcg and device; the root's for its own and flushes",
        memory="the memory css nearest to the issuer's blkcg",
        io="the issuer's blkcg",
        blocked=_SHARED,
        origin="the driver since 5.14",
        text="`driver.alloc_fail`: where no worker can be made, the root's serves "
        "and the root pays.",
        exists=True,
    ),
    PolicyRow(
        name="enospc",
        engine=Policy.PER_CGROUP,
        server="as per-cgroup",
        memory="as per-cgroup",
        io="as per-cgroup",
        blocked="nobody: at `memory.max` the request fails with ENOSPC, no OOM kill",
        origin="review of the series (Chinner)",
    ),
    PolicyRow(
        name="synchronous",
        engine=Policy.SYNCHRONOUS,
        server="the thread that issues: one queue for each process and device",
        memory="the issuer's memory css; for a kernel thread, which has no memory of "
        "its own, the root",
        io="the issuer's blkcg; for a kernel thread and for flushes the root",
        blocked="who issues, and who wants the backing file's lock",
        origin="review of the series (Weiner)",
        text="Needs stack and file system context that a caller may lack: a trial of "
        "2025 was taken back for that; it is not replayed. A thread on two devices "
        "counts as two. Where the trace names no process, each issuer is taken for "
        "one thread.",
    ),
    PolicyRow(
        name="instance",
        engine=Policy.INSTANCE,
        server="one queue for each device",
        memory="the memory css of the cgroup that the device is bound to",
        io="the blkcg of that cgroup",
        blocked="all users of the device",
        origin="review of the series (Heo): as a FUSE server does",
        text="`driver.instance` binds a device to a cgroup, flushes included.",
    ),
    PolicyRow(
        name="pass-through",
        engine=Policy.PASS_THROUGH,
        server="nobody: a bio goes on below in its caller's context",
        memory="nobody: there is no page cache of the device's own",
        io="the issuer's blkcg, of flushes too",
        blocked="nobody but who issues: limits below hold a bio, not a worker",
        origin="bio-based devices: dm, md",
        text="For a trace of such a device. `driver.direct_io` is true.",
        exists=True,
    ),
)

#: Every policy by its name.
BY_NAME: Final = {row.name: row for row in POLICIES}
