"""Print events as the kernel's trace is printed: by ftrace, trace-cmd and perf.

After include/trace/events/block.h and kernel/trace/blktrace.c: the text of an event is
the same whoever prints it, what stands before it is not.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from support.blktrace import Event

NAMES: Final = {
    "Q": "block_bio_queue",
    "G": "block_getrq",
    "M": "block_bio_backmerge",
    "F": "block_bio_frontmerge",
    "I": "block_rq_insert",
    "D": "block_rq_issue",
    "R": "block_rq_requeue",
    "C": "block_rq_complete",
    "X": "block_split",
    "A": "block_bio_remap",
}
NOWHERE: Final = (1 << 64) - 1


def rwbs(event: Event, *, tracer: bool = False) -> str:
    """The flags: of the tracepoints, or of the tracer ``blk``."""
    op = event.op
    first = "F" if op in ("flush", "flush_bio") or "flush" in event.extra else ""
    main = {"read": "R", "discard": "D", "passthrough": "N", "write_zeroes": "WZ"}.get(
        op, "W"
    )
    if op == "flush":
        main = "N" if tracer else "F"
    return (
        first
        + main
        + ("F" if "fua" in event.extra else "")
        + ("A" if "ahead" in event.extra else "")
        + ("S" if op == "flush_bio" or "sync" in event.extra else "")
        + ("M" if "meta" in event.extra else "")
    )


def device(event: Event) -> str:
    """``major,minor``."""
    return f"{event.device >> 20},{event.device & 0xFFFFF}"


def tracepoint(event: Event, *, priority: str = "") -> str:
    """An event's text; newer kernels show a priority."""
    letter, name = event.letter, f"task {event.pid}"
    n = event.nbytes >> 9
    sector = event.sector
    command = event.op == "passthrough"
    if command:
        n, sector = 0, NOWHERE if letter == "C" else 0
    head = f"{NAMES[letter]}: {device(event)} {rwbs(event)} "
    more = f" {priority}" if priority else ""
    if letter == "X":
        return f"{head}{sector} / {event.rest} [{name}]"
    if letter == "A":
        return f"{head}{sector} + {n} <- (8,3) 17"
    if letter in "IDR":
        return f"{head}{event.nbytes} () {sector} + {n}{more} [{name}]"
    if letter == "C":
        return f"{head}() {sector} + {n}{more} [{event.error}]"
    return f"{head}{sector} + {n} [{name}]"


def tracer(event: Event, *, path: str | None = None) -> str:
    """An event's text of the tracer ``blk``; with its cgroup where it has one."""
    major, minor = device(event).split(",")
    group = ""
    if event.cgroup:
        group = f"{event.cgroup & 0xFFFFFFFF:x},{event.cgroup >> 32:x} "
        group = group if path is None else f"{path} "
    n, letter = event.nbytes >> 9, event.letter
    head = f"{major:>3},{minor:<3} {group}{letter:>2} {rwbs(event, tracer=True):>3} "
    end = f"[{event.error}]" if letter in "CR" else f"[task {event.pid}]"
    if letter == "X":
        return f"{head}{event.sector} / {event.rest} {end}"
    if event.op == "passthrough":
        return (
            f"{head}(00 ..) {end}"
            if letter == "C"
            else (f"{head}{event.nbytes} (00 ..) {end}")
        )
    if event.nbytes == 0:
        return f"{head}0 {end}" if letter == "C" else f"{head}{end}"
    return f"{head}{event.sector} + {n} {end}"


def _seconds(event: Event, digits: int) -> str:
    second, ns = divmod(event.time_ns, 10**9)
    return f"{second}.{ns:09}"[: len(str(second)) + 1 + digits]


def ftrace(event: Event, text: str) -> str:
    """As of ``trace`` and ``trace_pipe``."""
    return (
        f"{f'a b-{event.pid} c-{event.pid}':>22} [{event.cpu:03}] d.h1. "
        f"{_seconds(event, 6)}: {text}"
    )


def ftrace_group(event: Event, text: str) -> str:
    """With the option ``record-tgid``."""
    return (
        f"{f'x-{event.pid}':>16} ({event.pid:7}) [{event.cpu:03}] .... "
        f"{_seconds(event, 6)}: {text}"
    )


def ftrace_latency(event: Event, text: str) -> str:
    """With the option ``latency-format``."""
    return (
        f"{f'dd-{event.pid}':>16} {event.cpu:3}d.h1. {event.time_ns // 1000}us+: {text}"
    )


def trace_cmd(event: Event, text: str) -> str:
    """As of ``trace-cmd report``, whose names of events stand under each other."""
    name, colon, rest = text.partition(": ")
    if colon and name.startswith("block_"):
        text = f"{name + ':':<22}{rest}"
    return f"{f'fio-{event.pid}':>22} [{event.cpu:03}] {_seconds(event, 9)}: {text}"


def perf(event: Event, text: str) -> str:
    """As of ``perf script``."""
    return (
        f"{'Web Content'[:15]:>16} {event.pid:5} [{event.cpu:03}] "
        f"{_seconds(event, 6)}: {'':>6}block:{text}"
    )


def perf_ns(event: Event, text: str) -> str:
    """As of ``perf script --ns`` with pid and thread, a count and no CPU."""
    return (
        f"kworker/u16:1+d 7/{event.pid} {_seconds(event, 9)}:          1 block:{text}"
    )


PREFIXES: Final[dict[str, Callable[[Event, str], str]]] = {
    one.__name__: one
    for one in (ftrace, ftrace_group, ftrace_latency, trace_cmd, perf, perf_ns)
}


def printed(
    events: Iterable[Event],
    prefix: Callable[[Event, str], str],
    text: Callable[[Event], str] = tracepoint,
) -> str:
    """Print events in the order of their times."""
    ordered = sorted(events, key=lambda one: one.time_ns)
    return "".join(f"{prefix(one, text(one))}\n" for one in ordered)


def life(at_us: int, sector: int, letters: str = "QGIDC", **more: Any) -> list[Event]:
    """The events of one request, some µs from each other."""
    return [
        Event(letter, 1000 * (at_us + 3 * step), sector, **more)
        for step, letter in enumerate(letters)
    ]
