"""Every key of a scenario: the one table that docs, defaults and errors are made from.

A path names the key as in TOML. ``assign[].`` are the keys of one ``[[assign]]`` rule,
``cgroups.PATH.`` those of one cgroup, ``cgroups.PATH.tasks[].`` those of one of its
tasks.
"""

from typing import Any, Final

from msgspec import Struct

from replay.scenario.keys import kinds
from replay.scenario.keys.kernel_rules import NEWEST, OLDEST, text_of
from replay.scenario.keys.kinds import ValueKind, choice, integer, number, size
from replay.scenario.keys.policies import MERGED, POLICIES, VARIANTS

ASSIGN: Final = "assign[]."
CGROUP: Final = "cgroups.PATH."
TASK: Final = "cgroups.PATH.tasks[]."

_POLICY: Final = choice(*(row.name for row in POLICIES))
#: With this rate 4 GiB of one request still fit the engine's 64 bits.
MOST_NS_PER_BYTE: Final = 2000
#: Of ``base_ns`` and ``random_ns``.
MOST_BASE_NS: Final = 10**12
_RATE: Final = number(0, MOST_NS_PER_BYTE)
_BASE: Final = integer(0, MOST_BASE_NS)
#: Default of what is not given of a disk.
_FOUND: Final = "identified from the trace"
_BYTES: Final = size(unlimited=False, most=2**62)


class Key(Struct, frozen=True):
    """One key.

    Attributes
    ----------
    path : str
    kind : ValueKind
    default : object
        As it would stand in the file; None if there is none, or if the trace decides.
    unit : str
    text : str
        One line.
    default_text : str
        What the default is if `default` is None.
    root : bool or None
        For a cgroup's interface file: True if only ``/`` has it, False if ``/`` has
        none, None if every cgroup has it.
    controller : str
        The controller that brings the interface file.
    """

    path: str
    kind: ValueKind
    default: object
    unit: str
    text: str
    default_text: str = ""
    root: bool | None = None
    controller: str = ""

    @property
    def name(self) -> str:
        """The path without its group."""
        for prefix in (TASK, CGROUP, ASSIGN):
            if self.path.startswith(prefix):
                return self.path[len(prefix) :]
        return self.path

    def default_value(self) -> Any:
        """Return the parsed default."""
        return None if self.default is None else self.kind.parse(self.default)


# One key is a name, a kind, a default and a unit; then what it means.
# fmt: off
KEYS: Final = (
    Key(
        "trace.policy", _POLICY, None, "",
        "policy of the driver that the trace was taken with: a fact, whatever "
        "driver.policy asks for",
        "root if trace.kernel is before 5.14, else per-cgroup",
    ),
    Key(
        "trace.direct_io", kinds.BOOLEAN, None, "",
        "whether the loop device used direct I/O when the trace was taken",
        "as driver.direct_io for loop devices, true for others",
    ),
    Key(
        "trace.kernel", kinds.KERNEL, None, "",
        "kernel that the trace was taken on",
        "as the recording's file `kernel` says, else as driver.kernel",
    ),
    Key(
        "trace.devices", kinds.DEVICES, None, "",
        "devices that are replayed",
        "the loop devices if there are any, else every device as if it were one",
    ),
    Key(
        "trace.scheduler", choice("none", "mq-deadline", "bfq", "kyber"), None, "",
        "the disk's scheduler when the trace was taken; kyber is not replayed",
        "as `replay record` saved it, else as the order of requests says",
    ),
    Key(
        "trace.wbt", kinds.BOOLEAN, None, "",
        "whether write-back throttling was on when the trace was taken; it is not "
        "replayed",
        "as `replay record` saved it, else not known",
    ),
    Key(
        "trace.journal", kinds.BOOLEAN, None, "",
        "whether a file system with a journal lies on the devices: where a write of "
        "its journal or metadata fails, it turns read-only and no later write comes",
        "true where a thread of such a file system issues in the trace (jbd2, xfsaild, "
        "btrfs)",
    ),
    Key(
        "driver.policy", _POLICY, None, "",
        "who serves a command and who pays for it: see [policies.md](policies.md)",
        "per-cgroup; root if driver.kernel is before 5.14",
    ),
    Key(
        "driver.variant", choice(*(row.name for row in VARIANTS)), MERGED.name, "",
        "version of 5.14's patches as which per-cgroup and enospc behave; the last one "
        "was merged: see [policies.md](policies.md)",
    ),
    Key(
        "driver.instance", kinds.INSTANCE, None, "",
        "cgroup that the device is bound to and that pays for all of it; for policy "
        "instance",
        "must be given with that policy",
    ),
    Key(
        "driver.direct_io", kinds.BOOLEAN, None, "",
        "whether the loop device uses direct I/O",
        "false for loop devices, true for others (they work asynchronously) and with "
        "policy pass-through",
    ),
    Key(
        "driver.kernel", kinds.KERNEL, None, "",
        f"kernel whose rules hold, {text_of(OLDEST)} to {text_of(NEWEST)}: "
        "[kernels.md](kernels.md) says which differ",
        "as trace.kernel, else 6.1",
    ),
    Key(
        "driver.errors", choice("kernel", "strict"), "kernel", "",
        "what becomes of a write that fails behind its first byte: as the kernel does "
        "(from 6.15 on it is reported as done and its tail is lost: errno 0 in the "
        "table of errors), or it fails",
    ),
    Key(
        "driver.alloc_fail.probability", number(0, 1), 0.0, "",
        "how likely the allocation of a worker fails, so that the root's serves and "
        "pays; 1 always fails",
    ),
    Key(
        "driver.alloc_fail.seed", integer(0, kinds.UINT64_MAX), 1, "",
        "seed of the draws",
    ),
    Key(
        "driver.alloc_fail.requests", kinds.ROWS, [], "rows of the trace",
        "requests whose allocation fails whatever the draw says",
    ),
    Key(
        "arrivals.event", choice("issue", "queue"), "queue", "",
        "event at which a request arrives: Q, so that what it waited for limits, the "
        "scheduler and tags counts; or D, so that it does not",
    ),
    Key(
        "arrivals.mode", choice("auto", "recorded", "dependent"), "auto", "",
        "recorded: as the clock said; dependent: after what the process waited for, "
        "plus its think time; auto: recorded where nothing that could slow a request "
        "differs from the recording, else dependent",
    ),
    Key(
        "backing.filesystem", choice("tmpfs", "ext4", "raw"), None, "",
        "what the backing file lies on. tmpfs: pages are charged at first touch; ext4, "
        "raw (a device): buffered I/O goes through the page cache",
        "tmpfs for loop devices, ext4 with driver.direct_io; else raw",
    ),
    Key(
        "backing.size", size(unlimited=True, least=1), "max", "bytes",
        "size of the file system, rounded up to pages: where ENOSPC starts",
    ),
    Key(
        "backing.quota", size(unlimited=True, least=1), "max", "bytes",
        "disk quota of the files' owner, rounded up to pages: where EDQUOT starts",
    ),
    Key(
        "backing.huge", choice("never", "always", "within_size"), "never", "",
        "huge= of the tmpfs: what its new pages come in, up to 2 MiB each",
    ),
    Key(
        "backing.laid_out_by", kinds.PATH_OR_NONE, "none", "",
        "cgroup that laid the file out; none: it is sparse. On tmpfs every page is "
        "its own from the start; on a disk every page is there, none is cached, and "
        "write-back is charged to it",
    ),
    Key(
        "backing.file_size", size(unlimited=True, least=1), "max", "bytes",
        "size of the file, where readahead ends; the trace does not tell it",
    ),
    Key(
        "backing.readahead", size(unlimited=False, most=1 << 30), None, "bytes",
        "largest readahead window (read_ahead_kb), rounded down to pages; 0: none",
        "128K; from 6.17 on twice backing.max_sectors_kb on a disk that rotates",
    ),
    Key(
        "backing.rotational", kinds.BOOLEAN, None, "",
        "whether the disk below says that it rotates (queue/rotational), as qemu's do",
        "true from 6.17 on, where it is what readahead goes by",
    ),
    Key(
        "backing.reclaim", choice("kernel", "classic", "mglru", "lru"), "kernel", "",
        "what a charge does to the page cache at a limit: as the kernel does (by the "
        "recording's lru_gen/enabled, else mglru from 6.12 on), by an inactive and an "
        "active list (classic), by the multi-generational LRU (mglru), or drop the "
        "page used longest ago, one for one (lru: nothing is charged in advance or for "
        "the page tree then), which stack distances predict",
    ),
    Key(
        "backing.device", kinds.DEVICE, None, "",
        "the disk below, for the table of what was charged there",
        "none",
    ),
    Key(
        "backing.loop", kinds.DEVICE, None, "",
        "loop device on whose file system the files of all others lie, with direct "
        "I/O; driver.direct_io, trace.direct_io, service and the rest of backing are "
        "its own then",
        "none",
    ),
    Key(
        "backing.cost_profile", choice("hdd", "ssd-qd1", "ssd", "ssd-fast"), "ssd", "",
        "which of the kernel's own cost models a device has where io.cost.model or "
        "io.cost.qos leaves it to the kernel (it goes by rotation and queue depth)",
    ),
    Key(
        "backing.nr_requests", integer(1, 65536), 256, "requests",
        "requests of the queue of a device that is no loop device: how deep io.latency "
        "cuts from",
    ),
    Key(
        "backing.scheduler", choice("none", "bfq"), "none", "",
        "who is served next of those that wait for one of service.parallel places of "
        "the device below: who came first, or by io.bfq.weight and sectors",
    ),
    Key(
        "backing.max_sectors_kb", integer(4, 1 << 20), None, "KiB",
        "largest read or write that the device below takes at once "
        "(queue/max_sectors_kb); it splits what is longer, and each part counts as an "
        "I/O in io.stat, io.max and io.weight there",
        "1280; 4096 from 6.17 on",
    ),
    Key(
        "service.model", choice("auto", "recorded", "linear", "device"), "auto", "",
        "time in the device. recorded: what remains of the recorded one without the "
        "traced driver's own queueing; linear: a base and a rate; device: a plain disk "
        "is a place where one waits, see [disk]; auto: device for a plain disk where "
        "anything that could slow a request differs from the recording, else recorded",
    ),
    Key(
        "service.read.base_ns", _BASE, 90000, "ns",
        "a read's base; linear only",
    ),
    Key(
        "service.read.ns_per_byte", _RATE, 0.3, "ns per byte",
        "a read's rate, kept as a whole number of 2^-20 ns; linear only",
    ),
    Key(
        "service.read.random_ns", _BASE, 0, "ns",
        "more for a read that begins over 16 MiB from the end of its cgroup's last "
        "request on the device; linear only",
    ),
    Key(
        "service.write.base_ns", _BASE, 120000, "ns",
        "a write's base; linear only",
    ),
    Key(
        "service.write.ns_per_byte", _RATE, 0.5, "ns per byte",
        "a write's rate, kept as a whole number of 2^-20 ns; linear only",
    ),
    Key(
        "service.write.random_ns", _BASE, 0, "ns",
        "likewise for a write; linear only",
    ),
    Key(
        "service.parallel", integer(1, 65536), 32, "requests",
        "requests that the device serves at once; linear only",
    ),
    Key(
        "disk.scheduler", choice("none", "mq-deadline", "bfq"), None, "",
        "who is issued next of those that wait: who came first, by direction and "
        "sector, or by io.bfq.weight; with model device",
        _FOUND,
    ),
    Key(
        "disk.descriptors", integer(0, 1 << 30), None, "",
        "descriptors of its ring: one for each page of a read or write, and two more "
        "for every request; 0: it is never full",
        _FOUND,
    ),
    Key(
        "disk.requeue_ns", _BASE, None, "ns",
        "from a completion until what the full ring refused is issued again",
        _FOUND,
    ),
    Key(
        "disk.delay_ns", _BASE, None, "ns",
        "what every request takes besides its time in the pipe; it occupies nothing",
        _FOUND,
    ),
    Key(
        "disk.together", kinds.BOOLEAN, None, "",
        "whether it answers when it has served all that it has, or each request",
        _FOUND,
    ),
    Key(
        "disk.read.base_ns", _BASE, None, "ns",
        "time that a read takes of the pipe, which all share",
        _FOUND,
    ),
    Key(
        "disk.read.ns_per_byte", _RATE, None, "ns per byte",
        "and each of its bytes",
        _FOUND,
    ),
    Key(
        "disk.read.random_ns", _BASE, None, "ns",
        "and more if it begins over 16 MiB from the end of its cgroup's last request",
        _FOUND,
    ),
    Key(
        "disk.write.base_ns", _BASE, None, "ns",
        "time that a write takes of the pipe",
        _FOUND,
    ),
    Key(
        "disk.write.ns_per_byte", _RATE, None, "ns per byte",
        "and each byte of a write",
        _FOUND,
    ),
    Key(
        "disk.write.random_ns", _BASE, None, "ns",
        "and more for a write that is random, likewise",
        _FOUND,
    ),
    Key(
        "disk.other_ns", _BASE, None, "ns",
        "time that a flush, discard or write zeroes takes of the pipe",
        _FOUND,
    ),
    Key(
        "machine.cpus", integer(1, 65536), None, "CPUs",
        "processors of the machine: with a file on tmpfs so many reads are served at "
        "once, where the device's model or the driver is another than recorded",
        "as `replay record` saved it, else as many as there are workers",
    ),
    Key(
        "machine.hz", integer(100, 1000), 250, "1/s",
        "CONFIG_HZ, ticks a second: what io.max and sleeps at limits round to",
    ),
    Key(
        "machine.memory", size(unlimited=True, least=1), "max", "bytes",
        "memory of the machine, rounded down to pages: what all cgroups and the root "
        "may hold together; beyond it the OOM killer chooses among all tasks",
    ),
    Key(
        "machine.memory_recursiveprot", kinds.BOOLEAN, True, "",
        "whether cgroup2 is mounted with memory_recursiveprot, as systemd does",
    ),
    Key(
        "machine.dirty_background_ratio", integer(0, 100), 10, "percent",
        "vm.dirty_background_ratio: above this part of what may be dirty the flusher "
        "threads write a disk's page cache back. The machine's own threshold needs "
        "machine.memory; a cgroup's goes by what its limits leave it",
    ),
    Key(
        "machine.dirty_background_bytes", _BYTES, "0", "bytes",
        "vm.dirty_background_bytes: instead of the ratio, if not 0; what it is for a "
        "cgroup needs machine.memory",
    ),
    Key(
        "machine.dirty_ratio", integer(1, 100), 20, "percent",
        "vm.dirty_ratio: half of it is the background threshold, where that would not "
        "be below it. Nobody is slowed for dirtying: see docs/model.md",
    ),
    Key(
        "machine.dirty_bytes", _BYTES, "0", "bytes",
        "vm.dirty_bytes: instead of the ratio, if not 0",
    ),
    Key(
        "machine.dirty_expire_centisecs", integer(0, 2**31 - 1), 3000, "1/100 s",
        "vm.dirty_expire_centisecs: how long pages may be dirty until the flusher "
        "threads write them back",
    ),
    Key(
        "machine.dirty_writeback_centisecs", integer(0, 2**31 - 1), 500, "1/100 s",
        "vm.dirty_writeback_centisecs: how often the flusher threads look; 0: never",
    ),
    Key(
        f"{ASSIGN}pid", integer(0, 2**31 - 1), None, "",
        "process that issued the request",
        "any",
    ),
    Key(
        f"{ASSIGN}comm", kinds.TEXT, None, "",
        "pattern of the name that the process had at that time",
        "any",
    ),
    Key(
        f"{ASSIGN}device", kinds.DEVICE, None, "",
        "device of the request",
        "any",
    ),
    Key(
        f"{ASSIGN}volume", kinds.TEXT, None, "",
        "pattern of the volume's name, in traces that name volumes",
        "any",
    ),
    Key(
        f"{ASSIGN}cgroup", kinds.PATH, None, "",
        "cgroup whose request it is",
        "must be given",
    ),
    Key(
        f"{CGROUP}id", integer(1, kinds.UINT64_MAX), None, "",
        "id that the trace carries (the inode of the cgroup's directory)",
        "found by path, if the trace knows paths",
    ),
    Key(
        f"{CGROUP}controllers", kinds.CONTROLLERS, None, "",
        "controllers that are enabled for it",
        "as its parent; the root has both",
        root=False,
    ),
    Key(
        f"{CGROUP}online", kinds.BOOLEAN, True, "",
        "false: its directory was removed; who still issues for it is served and "
        "charged as its nearest ancestor that lives, pages stay its own (from 7.2 on "
        "they become that one's)",
        root=False,
    ),
    Key(
        f"{CGROUP}memory.max", size(unlimited=True), "max", "bytes",
        "hard limit, rounded down to pages",
        root=False, controller="memory",
    ),
    Key(
        f"{CGROUP}memory.high", size(unlimited=True), "max", "bytes",
        "soft limit, rounded down to pages: above it the worker sleeps",
        root=False, controller="memory",
    ),
    Key(
        f"{CGROUP}memory.low", size(unlimited=True), "0", "bytes",
        "best-effort protection of page cache from reclaim",
        root=False, controller="memory",
    ),
    Key(
        f"{CGROUP}memory.min", size(unlimited=True), "0", "bytes",
        "hard protection of page cache from reclaim",
        root=False, controller="memory",
    ),
    Key(
        f"{CGROUP}memory.swap.max", size(unlimited=True), "max", "bytes",
        "swap limit; changes nothing, since a loop worker cannot swap (it may do no "
        "I/O to reclaim)",
        root=False, controller="memory",
    ),
    Key(
        f"{CGROUP}memory.oom.group", kinds.FLAG, 0, "",
        "an OOM kill takes every task of it and below",
        root=False, controller="memory",
    ),
    Key(
        f"{CGROUP}io.max", kinds.IO_MAX, "", "bytes and requests per second",
        "limits by device, of the traced one or of backing.device: digits or max; "
        "bytes (rbps, wbps) as a size too, 4M",
        root=False, controller="io",
    ),
    Key(
        f"{CGROUP}io.weight", kinds.IO_WEIGHT, 100, "",
        "share of a device with a cost model, among siblings that use it; a line "
        "for a device or for all (default N)",
        root=False, controller="io",
    ),
    Key(
        f"{CGROUP}io.bfq.weight", kinds.IO_BFQ_WEIGHT, 100, "",
        "share of the device below, if backing.scheduler is bfq, among siblings that "
        "wait for it; a line for a device or for all (default N)",
        root=False, controller="io",
    ),
    Key(
        f"{CGROUP}io.latency", kinds.IO_LATENCY, "", "us",
        "latency target by device (target=75000): who misses it has the queue depth "
        "of those with a larger one, or none, cut",
        root=False, controller="io",
    ),
    Key(
        f"{CGROUP}io.cost.model", kinds.IO_COST_MODEL, "", "",
        "linear cost model by device, in the kernel's form: what it does a second; "
        "what is not given is backing.cost_profile's",
        root=True, controller="io",
    ),
    Key(
        f"{CGROUP}io.cost.qos", kinds.IO_COST_QOS, "", "",
        "cost control by device, in the kernel's form: enable=1 turns io.weight on; "
        "latency targets and bounds of the rate",
        root=True, controller="io",
    ),
    Key(
        f"{CGROUP}recorded.memory.max", size(unlimited=True), "max", "bytes",
        "memory.max when the trace was taken: what it did is in the recorded times",
    ),
    Key(
        f"{CGROUP}recorded.memory.high", size(unlimited=True), "max", "bytes",
        "memory.high when the trace was taken, likewise",
    ),
    Key(
        f"{CGROUP}recorded.io.max", kinds.IO_MAX, "", "",
        "io.max when the trace was taken: between Q and D its requests waited for that",
    ),
    Key(
        f"{TASK}comm", kinds.TEXT, None, "",
        "pattern of its name; the requests of every process of that name are its",
        "this or pid must be given",
    ),
    Key(
        f"{TASK}pid", integer(0, 2**31 - 1), None, "",
        "its process id",
        "this or comm must be given",
    ),
    Key(
        f"{TASK}rss", size(unlimited=False, most=1 << 50), "0", "bytes",
        "memory charged to this cgroup by the task from its first to its last "
        "request, rounded up to pages",
    ),
    Key(
        f"{TASK}oom_score_adj", integer(-1000, 1000), 0, "",
        "how much likelier the OOM killer chooses it, in thousandths of the limit; "
        "-1000: never",
    ),
    Key(
        f"{TASK}always", kinds.BOOLEAN, False, "",
        "the task lives through the whole trace, whether any request is its or not: a "
        "bystander, which the OOM killer may choose",
    ),
)
# fmt: on


def _group(prefix: str) -> dict[str, Key]:
    """Return the keys of one group by their name within it."""
    return {key.name: key for key in KEYS if key.path == prefix + key.name}


SECTION_KEYS: Final = _group("")
ASSIGN_KEYS: Final = _group(ASSIGN)
CGROUP_KEYS: Final = _group(CGROUP)
TASK_KEYS: Final = _group(TASK)
