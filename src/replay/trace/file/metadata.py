"""A trace file's metadata: all that it holds beside its rows.

`Summary` is what the decoder learns from the records; `Metadata` adds what the
conversion knows. All times are ns since the trace's start unless named otherwise.
"""

from typing import Annotated, Final

import msgspec

#: What a row of a format without events is called in `Quality.events`.
ROW_EVENT: Final = "request"
#: In the note of a format whose rows have no response times.
NO_COMPLETIONS: Final = "does not say when a request completes"


#: A time, a size or a number of things; what is beyond them no trace holds.
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Pid = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]


# gc=False below: a trace may have 100,000 of these, which hold no cycles; to look
# through them again and again would take the collector as long as all the rest
class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Base: frozen, keyword only; newer writers may add fields."""


class Device(Struct, frozen=True, kw_only=True):
    """A traced device; ``volume`` is its name where the input had no number for it."""

    device: Number
    n_requests: Count
    volume: str | None = None


class Cgroup(Struct, frozen=True, kw_only=True, gc=False):
    """A cgroup id that stands in the ``cgroup`` column; path where it is known."""

    id: Annotated[int, msgspec.Meta(ge=0)]
    n_requests: Count
    n_bios: Count
    nbytes: Count
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

    time_ns: Count
    name: str


class Process(Struct, frozen=True, kw_only=True, gc=False):
    """A process that was named or that issued a request."""

    pid: Pid
    names: list[ProcessName]
    n_requests: Count
    first_ns: Count | None = None
    last_ns: Count | None = None


class Message(Struct, frozen=True, kw_only=True):
    """A free-text note."""

    time_ns: Count
    cpu: Number
    text: str


class Quality(Struct, frozen=True, kw_only=True):
    """Counts of records by their fate; none is lost in silence.

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

    records: Count = 0
    events: dict[str, Count] = {}
    notes: dict[str, Count] = {}
    unknown: Count = 0
    refused_bytes: Count = 0
    truncated_bytes: Count = 0
    damage: dict[str, Count] = {}
    damaged_events: Count = 0
    lost: dict[str, Count] = {}
    out_of_order: Count = 0
    unmatched: dict[str, Count] = {}
    unfinished: Count = 0
    never_issued: Count = 0
    late_completions: Count = 0
    partial_completions: Count = 0
    requeues: Count = 0
    flush_sequences: Count = 0
    messages: Count = 0
    names_dropped: Count = 0
    processes_dropped: Count = 0
    filtered: dict[str, Count] = {}
    filtered_bios: Count = 0
    left_out: dict[str, Count] = {}
    no_disk: Count = 0
    overwritten: Count = 0
    errors: dict[str, Count] = {}
    recorder: str = ""


class Summary(Struct, frozen=True, kw_only=True):
    """Facts learned from the records, or from a format's rows.

    ``notes`` are sentences on what is an estimate, or not in the input at all.
    ``cgroup_names``: the cgroups' ids are numbers of their names in order of
    appearance, not the kernel's ids. ``layers`` are pairs of devices, the upper one
    first, of which bios were passed on from one to the other. ``window`` is what
    ``--from`` and ``--until`` left, ns; the end is None where the trace's is meant.
    """

    start_ns: Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
    end_ns: Count
    wall_clock_ns: Count | None
    n_rows: Count
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
    nbytes: Count
    role: str = "trace"


class Metadata(Struct, frozen=True, kw_only=True):
    """The metadata of a trace file.

    ``kernel`` is what the recorded machine called its kernel, as ``uname -r`` says;
    ``record_version`` that of blktrace's records, 7 or 8, None where it is not told.
    """

    schema_version: int
    writer: str
    sources: list[SourceFile]
    summary: Summary
    kernel: str | None = None
    record_version: int | None = None
