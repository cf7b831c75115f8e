"""Losses and oddities of a recording, in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from replay.common.plain import plain
from replay.common.text import count_text
from replay.trace.file.metadata import ROW_EVENT, Quality
from replay.trace.file.per_cpu import missing_cpus, present_cpus

#: What it means that an event's request is not known.
_UNMATCHED: Final = {
    "complete": "completed a request that was never seen to be issued",
    "issue_without_queue": "issued a request that was never seen to be queued",
    "merge": "merged into a request that was never seen",
    "split": "split a request that was never seen",
    "requeue": "put back a request that was never seen to be issued",
    "get": "got a request for a bio that was never seen to be queued",
    "late_issue": "issued a request too late to be kept",
    "insert": "inserted a request that was never seen to be queued",
}


#: What makes room for what was lost, by what recorded it.
_MORE_ROOM: Final = {
    "": "give blktrace more or larger buffers (-n, -b)",
    "blkparse": "give blktrace more or larger buffers (-n, -b)",
    "kernel": "give the trace's buffer more room (buffer_size_kb, trace-cmd -b, "
    "perf -m)",
}
#: Events without which there is no request.
_REQUESTS: Final = frozenset("QDC")
#: A loss that is this share of what it is of stands beside the headline.
HEAVY: Final = 0.01
#: So few are what a recording's begin and end explain, unless they are a tenth.
_FEW: Final = 2
#: Losses that the headline names, the largest first.
_MOST_HEAVY: Final = 3

#: As many issues or completions without the other, and such a share of all, are more
#: than a recording's begin and end explain.
_MANY: Final = 10
_SHARE: Final = 0.1


def quality_lines(quality: Quality, files: Iterable[str] = ()) -> list[str]:
    """Say what was lost or odd, in words.

    Parameters
    ----------
    quality : Quality
        What became of every record.
    files : iterable of str
        Those that were read: of a per-CPU set some may be missing.

    Returns
    -------
    list of str
        A line each; empty if there is nothing to say.
    """
    files = list(files)
    missing = missing_cpus(files)
    absent = _absent(quality, missing, present_cpus(files))
    lines = [
        f"{plain(name)}: there is no file of {_cpus(cpus)}: what was recorded "
        "there is missing, unless nothing was"
        for name, cpus in missing.items()
    ]
    lines += quality_failed(quality)
    lines += _lost(quality)
    lines += _damage(quality)
    if quality.filtered:
        by_filter = ", ".join(
            f"{n:,} by {name}" for name, n in quality.filtered.items()
        )
        n_filtered = sum(quality.filtered.values())
        lines.append(f"{count_text(n_filtered, 'request')} filtered out ({by_filter})")
    unmatched = [
        (count, "event", _unmatched(kind, quality, absent))
        for kind, count in sorted(quality.unmatched.items())
    ]
    lines += [
        f"{count_text(count, unit)} {text}"
        for count, unit, text in (
            (quality.unfinished, "issued request", _unfinished(quality, absent)),
            (
                0 if quality.damage else quality.refused_bytes,
                "byte",
                "skipped: they hold no valid record",
            ),
            (quality.truncated_bytes, "byte", "of a record cut off at a file's end"),
            (quality.unknown, "record", "of an unknown kind left out"),
            (quality.no_disk, "event", "of no disk (0,0) left out: commands"),
            (quality.out_of_order, "record", _out_of_order(quality)),
            *unmatched,
            (quality.never_issued, "request", "queued but not seen to be issued"),
            (quality.late_completions, "completion", "too late to be kept"),
            (quality.names_dropped, "process name", "more than are kept"),
            (quality.processes_dropped, "request", "of processes more than are kept"),
        )
        if count
    ]
    return lines


def heavy_losses(quality: Quality, n_rows: int, n_bytes: int) -> str | None:
    """Say in one line what a recording lacks so much of that answers depend on it.

    Parameters
    ----------
    quality : Quality
    n_rows : int
        Requests of the trace.
    n_bytes : int
        Of the files that were read.

    Returns
    -------
    str or None
        The largest shares first; None if none is of `HEAVY` or more.
    """
    lost = sum(quality.lost.values())
    skipped = quality.refused_bytes + quality.truncated_bytes
    unissued = quality.unmatched.get("complete", 0)
    # with none at all it was not recorded, which is said elsewhere
    open_ = quality.unfinished if _completes(quality) else 0
    unqueued = quality.unmatched.get("issue_without_queue", 0)
    n_events = quality.records + lost + quality.damaged_events
    if not quality.events.get("Q"):
        unqueued = 0
    losses = [
        (lost, n_events, "of the events lost while recording"),
        (quality.unknown, quality.records, "of the records are of an unknown kind"),
    ]
    losses += [
        (n, whole, text)
        for n, whole, text in (
            (open_, n_rows, "of the requests never complete"),
            (unissued, n_rows + unissued, "of the requests lack their issue: left out"),
            (quality.never_issued, n_rows, "of the requests are never issued"),
            (unqueued, n_rows, "of the requests lack their queueing"),
        )
        if n > _FEW or n >= _SHARE * whole
    ]
    if quality.damaged_events:
        losses.append((quality.damaged_events, n_events, "of the events damaged"))
    else:
        # of a compressed file the bytes are fewer than were skipped of it
        losses.append((skipped, max(n_bytes, skipped), "of the bytes damaged"))
    heavy = sorted(
        ((n / whole, n, text) for n, whole, text in losses if n and n >= HEAVY * whole),
        reverse=True,
    )
    if not heavy:
        return None
    parts = [
        f"{share:.0%} {text} ({n:,})".replace("%", " %")
        for share, n, text in heavy[:_MOST_HEAVY]
    ]
    if (more := len(heavy) - _MOST_HEAVY) > 0:
        parts.append(f"{more} more: `replay info`")
    return f"Incomplete recording: {', '.join(parts)}"


def _completes(quality: Quality) -> bool:
    return ROW_EVENT in quality.events or bool(quality.events.get("C"))


def _lost(quality: Quality) -> list[str]:
    """Tell of events that blktrace had no room for."""
    lost = sum(quality.lost.values())
    lines = []
    if n_out := sum(quality.left_out.values()):
        lines.append(
            f"{count_text(n_out, 'event')} {'is' if n_out == 1 else 'are'} not in the "
            "text, as the numbers of the others tell: lines were left out by a filter, "
            "no loss of the recording"
        )
    if quality.overwritten:
        lines.append(
            f"{count_text(quality.overwritten, 'event')} written before the first were "
            "no longer in the trace's buffer (it holds the newest): give it more room "
            "(buffer_size_kb), or read trace_pipe while it records"
        )
    if not lost:
        return lines
    by_cpu = sorted(quality.lost.items(), key=lambda one: (len(one[0]), one[0]))
    where = ", ".join(f"{count:,} on CPU {cpu}" for cpu, count in by_cpu)
    # where a text is damaged its records do not say
    maybe = ""
    if quality.refused_bytes and not quality.damage:
        maybe = "; or they stood in what is damaged"
    elif (
        quality.events
        and not quality.events.keys() & _REQUESTS
        # a text has no others
        and quality.notes.keys() <= {"message"}
    ):
        maybe = (
            "; or they carry cgroup ids, which some versions of blkparse leave out of "
            "their text ('Bad fs action'): give the recording itself"
        )
    return [
        *lines,
        f"{count_text(lost, 'event')} lost while recording ({where}): "
        f"{_MORE_ROOM.get(quality.recorder, _MORE_ROOM[''])}{maybe}",
    ]


def quality_failed(quality: Quality) -> list[str]:
    """Tell of requests that failed when they were recorded.

    Parameters
    ----------
    quality : Quality

    Returns
    -------
    list of str
        One line, or none.
    """
    n_failed = sum(quality.errors.values())
    if not n_failed:
        return []
    names = sorted(quality.errors.items(), key=lambda one: (-one[1], one[0]))
    if len(names) == 1:
        text = names[0][0]
    else:
        text = ", ".join(f"{n:,} {name}" for name, n in names)
    return [f"{count_text(n_failed, 'request')} failed when recorded: {text}"]


def _damage(quality: Quality) -> list[str]:
    """Tell of files that are damaged: where, and what was in it."""
    if not quality.damage:
        return []
    places = [f"{plain(name)} at byte {at:,}" for name, at in quality.damage.items()]
    shown = ", ".join(places[:_MOST_HEAVY])
    if places[_MOST_HEAVY:]:
        shown += f" and {count_text(len(places) - _MOST_HEAVY, 'more file')}"
    missing = (
        f"; {count_text(quality.damaged_events, 'event')} "
        f"{'is' if quality.damaged_events == 1 else 'are'} missing with them"
        if quality.damaged_events
        else ""
    )
    return [
        f"damaged: {shown}: {count_text(quality.refused_bytes, 'byte')} skipped, which "
        f"hold no valid record{missing}; copy the file again if you can"
    ]


def _absent(
    quality: Quality,
    missing: Mapping[str, Sequence[int]],
    present: Mapping[str, Sequence[int]],
) -> str | None:
    """Say which files are not there; None if none seems to be."""
    if missing:
        one = len(missing) == 1
        names = " and ".join(
            _files(cpus) + ("" if one else f" of {plain(name)}")
            for name, cpus in missing.items()
        )
        single = one and sum(map(len, missing.values())) == 1
        return f"{names} {'is' if single else 'are'} missing"
    # those above the highest, and of a set that is numbered anew, are not known to be
    halves = quality.unfinished + quality.unmatched.get("complete", 0)
    whole = max(quality.events.get("D", 0), quality.events.get("C", 0))
    lost = sum(quality.lost.values()) + quality.damaged_events
    if not present or halves - lost < max(_MANY, _SHARE * whole):
        return None
    names = ", ".join(
        f"{_cpus(cpus)} of {plain(name)}" for name, cpus in present.items()
    )
    return f"files of other CPUs seem to be missing (there {_is(present)} {names})"


def _unfinished(quality: Quality, absent: str | None) -> str:
    """Say what became of requests that were issued and never completed."""
    verb = "never completes" if quality.unfinished == 1 else "never complete"
    if absent is not None:
        return f"{verb}: {absent}"
    if ROW_EVENT not in quality.events and not quality.events.get("C"):
        return f"{verb}: there is no completion in the recording"
    if quality.damage:
        return f"{verb}: in flight at the end, or the completion stood in the damage"
    return f"{verb}: in flight when the recording ended, or the completion is lost"


def _unmatched(kind: str, quality: Quality, absent: str | None) -> str:
    """Say what it means that an event found no request."""
    text = _UNMATCHED.get(kind, f"of a request never seen ({kind})")
    if kind == "issue_without_queue" and not quality.events.get("Q"):
        return f"{text}: there is no queueing in the recording"
    if kind == "complete" and absent is not None:
        return f"{text}: {absent}"
    if kind == "complete" and quality.damage:
        return f"{text}: it may have stood in the damage"
    if kind == "complete" and not quality.events.get("D"):
        return f"{text}: there is no issue in the recording"
    return text


def _is(present: Mapping[str, Sequence[int]]) -> str:
    return "is" if sum(map(len, present.values())) == 1 else "are"


def _out_of_order(quality: Quality) -> str:
    """Say what was done: rows of a format are sorted, events keep their place."""
    sorted_ = ROW_EVENT in quality.events or quality.recorder != ""
    return f"out of order: {'sorted' if sorted_ else 'moved to the time reached'}"


def _files(cpus: Sequence[int]) -> str:
    return f"the file{'s' if len(cpus) > 1 else ''} of {_cpus(cpus)}"


def _cpus(numbers: Sequence[int]) -> str:
    """Show ascending numbers as ``"CPUs 1-3 and 7"``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    parts = [f"{a}-{b}" if a < b else str(a) for a, b in runs]
    text = ", ".join(parts[:-1])
    text = f"{text} and {parts[-1]}" if text else parts[-1]
    return f"{'CPUs' if len(numbers) > 1 else 'CPU'} {text}"
