"""The driver's workers in the summary: how many, for how much, and their lock."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from replay.common.text import count_text, time_text
from replay.report.facts import began_ns
from replay.results.result import Result
from replay.scenario.keys.policies import MERGED

#: A command is queued under the device's lock, taken off a worker's list under it, and
#: the worker that finds none left takes it once more. Source: drivers/block/loop.c:
#: loop_queue_work(), loop_process_work(), v6.1.
LOCKS_A_COMMAND: Final = 3
_NS: Final = 10**9


def worker_lines(result: Result) -> Iterator[str]:
    """Tell of the workers, where there are several or one could not be made.

    Parameters
    ----------
    result : Result

    Yields
    ------
    str
    """
    counts: dict[str, Any] = result.info["counts"]
    allocations = counts.get("allocations", 0)
    if not allocations:
        return
    devices, cgroups = (
        result.workers[name].to_pylist() for name in ("device", "cgroup")
    )
    if not any(name.startswith("7:") for name in devices):
        return
    commands = result.workers["commands"].to_numpy()
    # no other device has workers
    is_loop = np.array([name.startswith("7:") for name in devices])
    served = commands[is_loop & (commands > 0)]
    n_commands = int(served.sum())
    peak = counts["workers_peak"]
    if peak > 1 and n_commands:
        most = int(np.max(served))
        mean = n_commands // len(served)
        each = count_text(mean, "command")
        each += " each" if most == mean else f" in the mean, {most:,} the busiest"
        yield f"{peak:,} at the peak, {each}"
    # the root's own worker is there from the start, with most versions of the patches
    # beside one of its own
    refused = allocations - sum(cgroup != "/" for cgroup in cgroups)
    if refused > 0 and _may_lack(result):
        yield (
            f"{refused:,} of {allocations:,} could not be made: the root's worker "
            "served, and the root paid"
        )
    if counts.get("leaked_refs"):
        refs = count_text(counts["leaked_refs"], "reference")
        yield f"{refs} to memory cgroups leaked: those cgroups are never freed"
    end_ns = counts.get("end_ns") or result.info["trace"]["span_ns"]
    lasted_ns = end_ns - began_ns(result)
    if peak > 1 and n_commands and lasted_ns > 0:
        by_device: Counter[str] = Counter()
        n_workers: Counter[str] = Counter()
        for device, n in zip(devices, commands.tolist(), strict=True):
            if device.startswith("7:") and n:
                by_device[device] += n
                n_workers[device] += 1
        device, most = by_device.most_common(1)[0]
        alone = len(by_device) == 1
        whose = "the device's lock" if alone else f"the lock of {device}"
        yield (
            f"{whose} is taken at most {LOCKS_A_COMMAND} times a command: "
            f"{LOCKS_A_COMMAND * most * _NS // lasted_ns:,} a second over "
            f"{time_text(lasted_ns)}, by at most "
            f"{peak if alone else n_workers[device]:,} workers and those who issue at "
            "once"
        )


def _may_lack(result: Result) -> bool:
    """Return True if workers could not be made, and how many is known."""
    driver = result.info["scenario"].get("driver")
    asked = driver.get("alloc_fail", {}) if isinstance(driver, dict) else {}
    own = "/" in result.charges["issuer"].to_pylist()
    merged = isinstance(driver, dict) and driver.get("variant") == MERGED.name
    some = bool(asked.get("probability") or asked.get("requests"))
    return some and (merged or not own)
