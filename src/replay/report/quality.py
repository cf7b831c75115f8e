"""What was lost or odd in a recording, in words."""

from collections.abc import Mapping, Sequence
from typing import Final

from replay.report.format import count_text, plain
from replay.trace.metadata import ROW_EVENT, Quality

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


def quality_lines(
    quality: Quality, missing_cpus: Mapping[str, Sequence[int]]
) -> list[str]:
    """Say what was lost or odd, in words.

    Parameters
    ----------
    quality : Quality
        What became of every record.
    missing_cpus : mapping
        Base name to the CPUs without a file.

    Returns
    -------
    list of str
        A line each; empty if there is nothing to say.
    """
    lines = [
        f"{plain(name)}: there is no file of {_cpus(cpus)}: what was recorded "
        "there is missing, unless nothing was"
        for name, cpus in missing_cpus.items()
    ]
    if lost := sum(quality.lost.values()):
        by_cpu = sorted(quality.lost.items(), key=lambda one: (len(one[0]), one[0]))
        where = ", ".join(f"{count:,} on CPU {cpu}" for cpu, count in by_cpu)
        lines.append(
            f"{count_text(lost, 'event')} lost while recording ({where}): give "
            "blktrace more or larger buffers (-n, -b)"
        )
    if quality.filtered:
        by_filter = ", ".join(
            f"{n:,} by {name}" for name, n in quality.filtered.items()
        )
        n_filtered = sum(quality.filtered.values())
        lines.append(f"{count_text(n_filtered, 'request')} filtered out ({by_filter})")
    unmatched = [
        (count, "event", _unmatched(kind, quality))
        for kind, count in sorted(quality.unmatched.items())
    ]
    lines += [
        f"{count_text(count, unit)} {text}"
        for count, unit, text in (
            (quality.unfinished, "issued request", _unfinished(quality, missing_cpus)),
            (quality.refused_bytes, "byte", "skipped: they hold no valid record"),
            (quality.truncated_bytes, "byte", "of a record cut off at a file's end"),
            (quality.unknown, "record", "of an unknown kind left out"),
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


def _unfinished(quality: Quality, missing_cpus: Mapping[str, Sequence[int]]) -> str:
    """Say what became of requests that were issued and never completed."""
    verb = "never completes" if quality.unfinished == 1 else "never complete"
    if missing_cpus:
        one = len(missing_cpus) == 1
        files = " and ".join(
            _files(cpus) + ("" if one else f" of {plain(name)}")
            for name, cpus in missing_cpus.items()
        )
        single = one and sum(map(len, missing_cpus.values())) == 1
        return f"{verb}: {files} {'is' if single else 'are'} missing"
    if ROW_EVENT not in quality.events and not quality.events.get("C"):
        return f"{verb}: there is no completion in the recording"
    return f"{verb}: in flight when the recording ended, or the completion is lost"


def _unmatched(kind: str, quality: Quality) -> str:
    """Say what it means that an event found no request."""
    text = _UNMATCHED.get(kind, f"of a request never seen ({kind})")
    if kind == "issue_without_queue" and not quality.events.get("Q"):
        return f"{text}: there is no queueing in the recording"
    if kind == "complete" and not quality.events.get("D"):
        return f"{text}: there is no issue in the recording"
    return text


def _out_of_order(quality: Quality) -> str:
    """Say what was done: rows of a format are sorted, events keep their place."""
    sorted_ = ROW_EVENT in quality.events
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
