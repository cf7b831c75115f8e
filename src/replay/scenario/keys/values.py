"""A scenario's values: frozen, checked, in bytes and numbers.

`keys` holds every key's type, default and unit; the fields here bear the keys' names.
None stands for ``max`` where the key is a size, and for "depends on the trace" or "not
given" elsewhere.
"""

from msgspec import Struct

from replay.scenario.keys.kernel import KernelVersion

#: An interface file with a line for each device: (device, ((name, text), ...)), ...
DeviceLines = tuple[tuple[int, tuple[tuple[str, str], ...]], ...]
#: ``io.weight``: (device or None for the default, weight), ...
WeightLines = tuple[tuple[int | None, int], ...]
#: ``driver.instance``: (device or None for all others, path), ...
InstanceLines = tuple[tuple[int | None, str], ...]


def limits_by_device(lines: DeviceLines) -> dict[int, dict[str, str]]:
    """Return what lines limit, by device, without those that say ``max`` alone."""
    found = {
        device: {name: text for name, text in pairs if text != "max"}
        for device, pairs in lines
    }
    return {device: limits for device, limits in found.items() if limits}


class TraceValues(Struct, frozen=True, kw_only=True):
    """``[trace]``: how the trace was taken."""

    policy: str | None
    direct_io: bool | None
    kernel: KernelVersion | None
    devices: tuple[int, ...] | None
    scheduler: str | None
    wbt: bool | None
    journal: bool | None


class AllocFailValues(Struct, frozen=True, kw_only=True):
    """``driver.alloc_fail``: which allocations of a worker fail."""

    probability: float
    seed: int
    requests: tuple[int, ...]


class DriverValues(Struct, frozen=True, kw_only=True):
    """``[driver]``: what is asked."""

    policy: str | None
    variant: str
    instance: InstanceLines | None
    direct_io: bool | None
    kernel: KernelVersion | None
    errors: str
    alloc_fail: AllocFailValues


class ArrivalsValues(Struct, frozen=True, kw_only=True):
    """``[arrivals]``: when requests come."""

    event: str
    mode: str


class BackingValues(Struct, frozen=True, kw_only=True):
    """``[backing]``: the file below the loop device."""

    filesystem: str | None
    size: int | None
    quota: int | None
    huge: str
    laid_out_by: str
    file_size: int | None
    readahead: int | None
    rotational: bool | None
    reclaim: str
    device: int | None
    loop: int | None
    cost_profile: str
    nr_requests: int
    scheduler: str
    max_sectors_kb: int | None


class LinearValues(Struct, frozen=True, kw_only=True):
    """``service.read`` and ``service.write``: a base, a rate and a seek."""

    base_ns: int
    ns_per_byte: float
    random_ns: int


class ServiceValues(Struct, frozen=True, kw_only=True):
    """``[service]``: time in the device."""

    model: str
    read: LinearValues
    write: LinearValues
    parallel: int


class PipeValues(Struct, frozen=True, kw_only=True):
    """``disk.read`` and ``disk.write``: a base, a rate and a seek."""

    base_ns: int | None
    ns_per_byte: float | None
    random_ns: int | None


class DiskValues(Struct, frozen=True, kw_only=True):
    """``[disk]``: a plain disk; None is identified from the trace.

    ``descriptors`` is 0 where there is no end of them.
    """

    scheduler: str | None
    descriptors: int | None
    requeue_ns: int | None
    delay_ns: int | None
    together: bool | None
    read: PipeValues
    write: PipeValues
    other_ns: int | None


class MachineValues(Struct, frozen=True, kw_only=True):
    """``[machine]``."""

    cpus: int | None
    hz: int
    memory: int | None
    memory_recursiveprot: bool
    dirty_background_ratio: int
    dirty_background_bytes: int
    dirty_ratio: int
    dirty_bytes: int
    dirty_expire_centisecs: int
    dirty_writeback_centisecs: int


class AssignValues(Struct, frozen=True, kw_only=True):
    """One ``[[assign]]`` rule."""

    pid: int | None
    comm: str | None
    device: int | None
    volume: str | None
    cgroup: str


class TaskValues(Struct, frozen=True, kw_only=True):
    """One of a cgroup's ``tasks``."""

    comm: str | None
    pid: int | None
    rss: int
    oom_score_adj: int
    always: bool


class CgroupValues(Struct, frozen=True, kw_only=True):
    """One ``[cgroups."/path"]``."""

    path: str
    id: int | None
    controllers: tuple[str, ...] | None
    online: bool
    tasks: tuple[TaskValues, ...]
    memory_max: int | None
    memory_high: int | None
    memory_low: int | None
    memory_min: int | None
    memory_swap_max: int | None
    memory_oom_group: bool
    io_max: DeviceLines
    io_weight: WeightLines
    io_bfq_weight: WeightLines
    io_latency: DeviceLines
    io_cost_model: DeviceLines
    io_cost_qos: DeviceLines
    recorded_memory_max: int | None
    recorded_memory_high: int | None
    recorded_io_max: DeviceLines
