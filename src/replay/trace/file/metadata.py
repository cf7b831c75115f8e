"""What a trace file says about itself, beside its rows.

`Summary` is what the decoder learns from the records; `Metadata` adds what the
conversion knows. All times are ns since the trace's start unless named otherwise.
"""

from typing import Final

import msgspec

#: What a row of a format without events is called in `Quality.events`.
ROW_EVENT: Final = "request"
#: In the note of a format whose rows have no response times.
NO_COMPLETIONS: Final = "does not say when a request completes"


# gc=False below: a trace may have 100,000 of these, which hold no cycles; to look
# through them again and again would take the collector as long as all the rest
class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Base: frozen, keyword only; newer writers may add fields."""


class Device(Struct, frozen=True, kw_only=True):
    """A traced device; ``volume`` is its name where the input had no number for it."""

    device: int
    n_requests: int
    volume: str | None = None


class Cgroup(Struct, frozen=True, kw_only=True, gc=False):
    """A cgroup id that stands in the ``cgroup`` column; path where it is known."""

    id: int
    n_requests: int
    n_bios: int
    nbytes: int
    path: str | None = None


class Layer(Struct, frozen=True, kw_only=True):
    """Requests that a device passed down to another one: one I/O, traced twice.

    ``took_ns`` is the time from Q to C below, in sum over the ``n_done`` of which both
    were seen.
    """

    above: int
    below: int
    n_requests: int
    n_done: int
    took_ns: int


class ProcessName(Struct, frozen=True, kw_only=True, gc=False):
    """The name a process had from a time on."""

    time_ns: int
    name: str


class Process(Struct, frozen=True, kw_only=True, gc=False):
    """A process that was named or that issued a request."""

    pid: int
    names: list[ProcessName]
    n_requests: int
    first_ns: int | None = None
    last_ns: int | None = None


class Message(Struct, frozen=True, kw_only=True):
    """A free-text note."""

    time_ns: int
    cpu: int
    text: str


class Quality(Struct, frozen=True, kw_only=True):
    """What became of every record; nothing is lost in silence.

    ``records`` equals the sum of ``events``, ``notes`` and ``unknown``. ``filtered``
    counts the requests that a filter left out, by the first one that did, and
    ``filtered_bios`` their bios; ``unfinished`` and ``never_issued`` count rows that
    are there. All else is of the whole recording, filtered or not.

    ``damage`` is where the first of the refused bytes stands, by file, and
    ``damaged_events`` how many events are missing that these bytes can have held, or
    that stood before them in a file that was cut; they are not among the ``lost``.
    Both are known of blktrace's records only.

    ``left_out`` counts by CPU the events that a text lacks because lines were left out
    of it, ``no_disk`` those of no disk, ``overwritten`` those that a trace's buffer no
    longer held. ``errors`` are the requests that failed when they were recorded, by
    errno. ``recorder`` says whose text it is: ``blkparse`` or ``kernel``; else empty.
    """

    records: int = 0
    events: dict[str, int] = {}
    notes: dict[str, int] = {}
    unknown: int = 0
    refused_bytes: int = 0
    truncated_bytes: int = 0
    damage: dict[str, int] = {}
    damaged_events: int = 0
    lost: dict[str, int] = {}
    out_of_order: int = 0
    unmatched: dict[str, int] = {}
    unfinished: int = 0
    never_issued: int = 0
    late_completions: int = 0
    partial_completions: int = 0
    requeues: int = 0
    flush_sequences: int = 0
    messages: int = 0
    names_dropped: int = 0
    processes_dropped: int = 0
    filtered: dict[str, int] = {}
    filtered_bios: int = 0
    left_out: dict[str, int] = {}
    no_disk: int = 0
    overwritten: int = 0
    errors: dict[str, int] = {}
    recorder: str = ""


class Summary(Struct, frozen=True, kw_only=True):
    """What was learned from the records, or from a format's rows.

    ``notes`` are sentences on what is an estimate, or not in the input at all.
    ``cgroup_names``: the cgroups' ids are numbers of their names in order of
    appearance, not the kernel's ids. ``layers`` are pairs of devices, the upper one
    first, of which bios were passed on from one to the other. ``window`` is what
    ``--from`` and ``--until`` left, ns; the end is None where the trace's is meant.
    """

    start_ns: int
    end_ns: int
    wall_clock_ns: int | None
    n_rows: int
    devices: list[Device]
    cgroups: list[Cgroup]
    processes: list[Process]
    messages: list[Message]
    quality: Quality
    format: str = "blktrace"
    notes: list[str] = []
    cgroup_names: bool = False
    layers: list[tuple[int, int]] = []
    window: tuple[int, int | None] | None = None
    stack: list[Layer] = []


class SourceFile(Struct, frozen=True, kw_only=True):
    """An input of the conversion."""

    path: str
    nbytes: int
    role: str = "trace"


class Metadata(Struct, frozen=True, kw_only=True):
    """All that a trace file says beside its rows.

    ``kernel`` is what the recorded machine called its kernel, as ``uname -r`` says;
    ``record_version`` that of blktrace's records, 7 or 8, None where it is not told.
    """

    schema_version: int
    writer: str
    sources: list[SourceFile]
    summary: Summary
    kernel: str | None = None
    record_version: int | None = None
