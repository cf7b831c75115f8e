"""Counts of the cgroups and processes in a format's rows, and their summary."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from replay.common.text import count_text
from replay.trace.file.metadata import (
    NO_COMPLETIONS,
    ROW_EVENT,
    Cgroup,
    Device,
    Process,
    Quality,
    Summary,
)
from replay.trace.formats.base import ROOT_CGROUP, Format, NameNumbers
from replay.trace.formats.row_dtype import Rows

#: As many as the decoder of blktrace keeps.
MAX_PROCESSES: Final = 1 << 18
#: A cgroup's path but the root's, as the kernel prints it.
_PATH: Final = re.compile(r"(/(?!\.\.?(/|$))[^/]+)+")


@dataclass
class _Process:
    n_requests: int
    first_ns: int
    last_ns: int


@dataclass
class Tallies:
    """Sums over the rows, which come in order."""

    n_rows: int = 0
    start_ns: int = 0
    end_ns: int = 0
    n_complete: int = 0
    n_dropped: int = 0
    devices: dict[int, int] = field(default_factory=dict)
    cgroups: dict[int, list[int]] = field(default_factory=dict)
    processes: dict[int, _Process] = field(default_factory=dict)

    def add(self, rows: Rows, queued_ns: int | None = None) -> None:
        """Count rows.

        Parameters
        ----------
        rows : ndarray of `ROW`
            Not empty.
        queued_ns : int or None
            When the first of all was queued, if any was before it was issued.
        """
        if self.n_rows == 0:
            self.start_ns = self.end_ns = int(rows["arrival_ns"][0])
            if queued_ns is not None:
                self.start_ns = min(self.start_ns, queued_ns)
        self.n_rows += len(rows)
        last = rows["arrival_ns"] + np.maximum(rows["response_ns"], 0)
        self.end_ns = max(self.end_ns, int(last.max()))
        self.n_complete += int(np.count_nonzero(rows["response_ns"] >= 0))
        for device, count in zip(
            *np.unique(rows["device"], return_counts=True), strict=True
        ):
            self.devices[int(device)] = self.devices.get(int(device), 0) + int(count)
        ids = rows["cgroup"].astype(np.int64)
        counts = np.bincount(ids)
        # exact: the sum of a batch is far below 2**53
        nbytes = np.bincount(ids, weights=rows["nbytes"])
        for id_ in np.flatnonzero(counts):
            sums = self.cgroups.setdefault(int(id_), [0, 0])
            sums[0] += int(counts[id_])
            sums[1] += int(nbytes[id_])
        if rows["pid"].any() or self.processes:
            self._add_processes(rows, last)

    def _add_processes(self, rows: Rows, last: np.ndarray) -> None:
        pids, first, inverse, counts = np.unique(
            rows["pid"], return_index=True, return_inverse=True, return_counts=True
        )
        latest = np.zeros(len(pids), np.int64)
        np.maximum.at(latest, inverse, last)
        for number, pid in enumerate(pids.tolist()):
            known = self.processes.get(pid)
            if known is not None:
                known.n_requests += int(counts[number])
                known.last_ns = max(known.last_ns, int(latest[number]))
            elif len(self.processes) < MAX_PROCESSES:
                self.processes[pid] = _Process(
                    int(counts[number]),
                    int(rows["arrival_ns"][first[number]]),
                    int(latest[number]),
                )
            else:
                self.n_dropped += int(counts[number])


def summary_of(
    format_: Format,
    names: NameNumbers,
    tallies: Tallies,
    *,
    n_skipped: int,
    n_out_of_order: int,
    n_lost: int = 0,
    notes: Sequence[str] = (),
) -> Summary:
    """Make the summary.

    Parameters
    ----------
    format_ : Format
    names : NameNumbers
    tallies : Tallies
    n_skipped, n_out_of_order : int
        Rows left out because they are no I/O or blank; rows older than one before them.
    n_lost : int
        Requests that the recorder says it lost.
    notes : sequence of str
        What else was learned of the files.

    Returns
    -------
    Summary
    """
    start_ns = tallies.start_ns
    paths = cgroup_paths(names, whole=format_.names_paths)
    device_names = {number: name for name, number in names.devices.items()}
    return Summary(
        start_ns=start_ns,
        end_ns=tallies.end_ns,
        wall_clock_ns=start_ns if format_.epoch else None,
        n_rows=tallies.n_rows,
        devices=[
            Device(device=device, n_requests=count, volume=device_names.get(device))
            for device, count in sorted(tallies.devices.items())
        ],
        cgroups=[
            Cgroup(
                id=id_,
                n_requests=n_requests,
                n_bios=n_requests,
                nbytes=nbytes,
                path=paths.get(id_),
            )
            for id_, (n_requests, nbytes) in sorted(tallies.cgroups.items())
        ],
        processes=_processes(names, tallies),
        messages=[],
        quality=Quality(
            records=tallies.n_rows + n_skipped,
            events={ROW_EVENT: tallies.n_rows},
            unknown=n_skipped,
            out_of_order=n_out_of_order,
            # where nothing completes the format does not say when
            unfinished=tallies.n_rows - tallies.n_complete if tallies.n_complete else 0,
            names_dropped=names.n_dropped,
            processes_dropped=tallies.n_dropped,
            lost={"all": n_lost} if n_lost else {},
        ),
        format=format_.name,
        notes=[*_notes(format_, tallies), *_ids(names), *notes],
        cgroup_names=True,
    )


def cgroup_paths(names: NameNumbers, *, whole: bool = False) -> dict[int, str]:
    """Give every cgroup a path, a step below the root, no two the same.

    Parameters
    ----------
    names : NameNumbers
    whole : bool
        Names that are paths of cgroups stay as they are.

    Returns
    -------
    dict
        By id.
    """
    paths: dict[int, str] = {ROOT_CGROUP: "/"} if whole else {}
    taken: set[str] = set()
    for name, id_ in names.cgroups.items():
        if whole and _PATH.fullmatch(name) and name not in taken:
            taken.add(name)
            paths[id_] = name
            continue
        step = name.replace("/", "_").strip("_ ") or "unnamed"
        if step.strip(".") == "":
            step = step.replace(".", "_")
        path = f"/{step}"
        while path in taken:
            path += "_"
        taken.add(path)
        paths[id_] = path
    return paths


def _processes(names: NameNumbers, tallies: Tallies) -> list[Process]:
    found = []
    for pid in sorted(tallies.processes):
        tally = tallies.processes[pid]
        known = [
            msgspec.structs.replace(one, time_ns=max(one.time_ns - tallies.start_ns, 0))
            for one in sorted(names.processes.get(pid, []), key=lambda one: one.time_ns)
        ]
        found.append(
            Process(
                pid=pid,
                names=known,
                n_requests=tally.n_requests,
                first_ns=tally.first_ns - tallies.start_ns,
                last_ns=tally.last_ns - tallies.start_ns,
            )
        )
    return found


def _ids(names: NameNumbers) -> list[str]:
    """Tell of ids that the user's file of cgroups has not."""
    if not names.unknown_ids:
        return []
    some = sorted(names.unknown_ids)
    shown = ", ".join(map(str, some[:5])) + (", …" if some[5:] else "")
    return [
        f"{count_text(len(some), 'cgroup id')} ({shown}) not in the file of --cgroups: "
        "called by the number."
    ]


def _notes(format_: Format, tallies: Tallies) -> list[str]:
    notes = []
    if format_.estimate:
        notes.append(f"Estimated: {format_.estimate}.")
    if tallies.n_complete == 0:
        notes.append(
            f"{format_.name} {NO_COMPLETIONS}, so service times are not known: replay "
            "it with --set service.model=linear."
        )
    return notes
