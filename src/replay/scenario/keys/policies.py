"""The driver policies: the one table that checks, commands and documents share."""

from typing import Final

from msgspec import Struct

from replay.engine.setup import Policy

#: Policies under which one queue serves everybody.
ONE_QUEUE: Final = ("root", "naive", "instance", "backcharge")


class PolicyRow(Struct, frozen=True, kw_only=True):
    """The rules that one policy changes.

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
        io="root; with direct I/O reads and writes the issuer's io cgroup",
        blocked="everybody, behind direct I/O that waits; else nobody",
        origin="the driver up to 5.13",
        exists=True,
    ),
    PolicyRow(
        name="naive",
        engine=Policy.NAIVE,
        server="one queue for each device",
        memory="the issuer's memory cgroup",
        io="the issuer's io cgroup",
        blocked="everybody, behind the one that is blocked",
        origin="what the cover letter of 5.14's patches warns of",
    ),
    PolicyRow(
        name="per-cgroup",
        engine=Policy.PER_CGROUP,
        server="a queue for each io cgroup and device; the root's for its own and "
        "flushes",
        memory="the issuer's memory cgroup",
        io="the issuer's io cgroup",
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
        origin="proposed in review of 5.14's patches (Chinner)",
    ),
    PolicyRow(
        name="synchronous",
        engine=Policy.SYNCHRONOUS,
        server="the thread that issues: one queue for each process and device",
        memory="the thread's own memory cgroup; for a kernel thread, which has no "
        "memory of its own, the root",
        io="the issuer's io cgroup; for a kernel thread and for flushes the root",
        blocked="who issues, and who wants the backing file's lock",
        origin="proposed in review of 5.14's patches (Weiner)",
        text="Needs stack and file system context that a caller may lack: a trial of "
        "2025 was taken back for that; it is not replayed. A thread on two devices "
        "counts as two. Where the trace names no process, each issuer is taken for "
        "one thread.",
    ),
    PolicyRow(
        name="instance",
        engine=Policy.INSTANCE,
        server="one queue for each device",
        memory="the memory cgroup of the one that the device is bound to",
        io="the io cgroup of that one",
        blocked="all users of the device",
        origin="proposed in review of 5.14's patches (Heo): as a FUSE server does",
        text="`driver.instance` binds a device to a cgroup, flushes included.",
    ),
    PolicyRow(
        name="backcharge",
        engine=Policy.BACKCHARGE,
        server="one queue for each device, as the root",
        memory="the issuer's memory cgroup, whatever its limits",
        io="root; what it costs by `io.cost.model` becomes the issuer's debt",
        blocked="who issued, later: a process whose cgroup owes too much sleeps before "
        "it issues again",
        origin="proposed in review of 5.14's patches (Heo): let run, charge back",
        text="Debt and delays need a cost model of the device below and direct I/O; "
        "without one only memory is charged back. With `arrivals.mode = recorded` "
        "delays are counted (`counts.delays`, `counts.delayed_ns` of `run.json`), with "
        "`dependent` they are taken. A kernel delays only who submits himself; the "
        "policy takes it that the driver marks who issued.",
    ),
    PolicyRow(
        name="pass-through",
        engine=Policy.PASS_THROUGH,
        server="nobody: a bio goes on below in its caller's context",
        memory="nobody: there is no page cache of the device's own",
        io="the issuer's io cgroup, of flushes too",
        blocked="nobody but who issues: limits below hold a bio, not a worker",
        origin="bio-based devices: dm, md",
        text="For a trace of such a device. `driver.direct_io` is true.",
        exists=True,
    ),
)


class VariantRow(Struct, frozen=True, kw_only=True):
    """The rules that one version of 5.14's patches, as posted for review, changes.

    Attributes
    ----------
    name : str
        As in ``driver.variant``.
    date : str
    limits_active : bool
        The workqueue of loopN runs N workers at once, that of loop0 has the default.
    root_has_worker : bool
        The root cgroup's own requests get a worker as any other's.
    keeps_idle : bool
        A worker without commands is kept for a while.
    leaks_css : bool
        Where no worker can be made the memory css of the request is lost.
    text : str
        What else changed, and changes no result.
    """

    name: str
    date: str
    limits_active: bool = False
    root_has_worker: bool = True
    keeps_idle: bool = True
    leaks_css: bool = False
    text: str = ""


#: In order; the last one was merged.
VARIANTS: Final = (
    VariantRow(name="v1", date="February 2020", keeps_idle=False),
    VariantRow(
        name="v2",
        date="February 2020",
        keeps_idle=False,
        text="workers and charging in patches of their own",
    ),
    VariantRow(
        name="v3",
        date="February 2020",
        limits_active=True,
        text="the device's own spinlock guards the lists of workers",
    ),
    VariantRow(
        name="v4",
        date="2020",
        limits_active=True,
        text="swap-in is charged likewise; a loop worker cannot swap",
    ),
    VariantRow(
        name="v5",
        date="20 April 2020",
        limits_active=True,
        leaks_css=True,
        text="order of the spinlocks",
    ),
    VariantRow(
        name="v6",
        date="28 April 2020, posted as v5",
        limits_active=True,
        text="the memory cgroup is found through the io cgroup",
    ),
    VariantRow(
        name="v7",
        date="August 2020",
        limits_active=True,
        text="a spinlock of its own for the lists of workers",
    ),
    VariantRow(name="v8", date="2020", limits_active=True),
    VariantRow(name="v9", date="2020", limits_active=True, text="rebased"),
    VariantRow(name="v10", date="2020", limits_active=True, text="rebased"),
    VariantRow(
        name="v11",
        date="March 2021",
        limits_active=True,
        text="page-cache inserts of user tasks, too, follow the active memcg",
    ),
    VariantRow(
        name="v12",
        date="April 2021",
        text="the workqueue has no rescuer any more",
    ),
    VariantRow(name="v13", date="June 2021"),
    VariantRow(name="v14", date="10 June 2021, merged in 5.14", root_has_worker=False),
)

#: Every variant by its name.
VARIANT_BY_NAME: Final = {row.name: row for row in VARIANTS}
MERGED: Final = VARIANTS[-1]
#: Policies that a variant changes.
WITH_VARIANTS: Final = ("per-cgroup", "enospc")

#: Every policy by its name.
BY_NAME: Final = {row.name: row for row in POLICIES}
