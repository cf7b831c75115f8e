"""A replay held against what was counted while its trace was recorded."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from replay.capture.recorded import recorded_scenario
from replay.capture.saved import BEGIN, END, flat_name
from replay.common.errors import CaptureError
from replay.results.result import Result
from replay.runner.run import run
from replay.scenario.keys.load import Scenario
from replay.trace.inputs.spool import Spool
from replay.verify.counters import CgroupCounters, read_counters

#: How far off a number may be that a replay should find, as a part.
WITHIN: Final = 0.05
#: What a cgroup does beside the traced device counts there, too: pages of the tools'
#: own files, and their first reads. So much more or less is no matter.
SLACK_BYTES: Final = 64 << 10
SLACK_MEMORY: Final = 256 << 10
SLACK_COUNT: Final = 2

_IO: Final = ("rbytes", "wbytes", "rios", "wios", "dbytes", "dios")
_EVENTS: Final = ("high", "max", "oom", "oom_kill")
#: Files of cgroup v1, whose lines are of a device, an operation and a number.
_BLKIO: Final = {
    "blkio.throttle.io_service_bytes": {"Read": "rbytes", "Write": "wbytes"},
    "blkio.throttle.io_serviced": {"Read": "rios", "Write": "wios"},
}


class CheckedNumber(Struct, frozen=True, kw_only=True):
    """One number.

    Attributes
    ----------
    cgroup : str
    what : str
        ``io.stat 7:0 wbytes``, ``memory.stat shmem``, ``memory.events high``.
    predicted, counted : int
    slack : int
        What does not matter, whatever part it is.
    """

    cgroup: str
    what: str
    predicted: int
    counted: int
    slack: int

    @property
    def off(self) -> float:
        """By what part of the counted number the replay is off, beyond the slack."""
        apart = abs(self.predicted - self.counted)
        if apart <= self.slack:
            return 0.0
        return apart / self.counted if self.counted else float("inf")


class Check(Struct, frozen=True, kw_only=True):
    """A replay of a recording and what was counted there.

    Attributes
    ----------
    capture : str
    within : float
        How far off a number may be, as a part.
    kernel, policy : str
        Whose rules were taken.
    lines : list of CheckedNumber
    notes : list of str
        Of the replay.
    """

    capture: str
    within: float
    kernel: str
    policy: str
    lines: list[CheckedNumber]
    notes: list[str]

    @property
    def beyond(self) -> list[CheckedNumber]:
        """Lines that are further off than they may be."""
        return [line for line in self.lines if line.off > self.within]

    def facts(self) -> dict[str, Any]:
        """Return what JSON holds, to be attached to a report."""
        return {
            "capture": self.capture,
            "within": self.within,
            "kernel": self.kernel,
            "policy": self.policy,
            "holds": not self.beyond,
            "lines": [
                {
                    "cgroup": line.cgroup,
                    "what": line.what,
                    "predicted": line.predicted,
                    "counted": line.counted,
                    "off": None if line.off == float("inf") else line.off,
                    "holds": line.off <= self.within,
                }
                for line in self.lines
            ],
            "notes": self.notes,
        }


def verify(
    capture: str | Path,
    scenario: Scenario | Mapping[str, Any] | str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    within: float = WITHIN,
) -> Check:
    """Replay a recording and hold it against what was counted there.

    Parameters
    ----------
    capture : str or Path
        A directory as ``replay record`` or the lab writes it, with ``begin``, ``end``
        and ``ids``, or an archive of one.
    scenario : Scenario, mapping, path or None
        What the recording does not say; None: what it says.
    overrides : sequence of str
        ``KEY=VALUE``, as on the command line.
    within : float
        How far off a number may be, as a part.

    Returns
    -------
    Check

    Raises
    ------
    CaptureError
        The directory has no counters.
    TraceError, ScenarioError
        As `replay.run`.
    """
    with Spool() as spool:
        place = _unpacked(Path(capture), spool)
        for part in (BEGIN, END):
            if not (place / part).is_dir():
                raise CaptureError(
                    f"{capture}: holds no {part}/: `replay record` saves counters "
                    "before and after"
                )
        return _check(str(capture), place, scenario, overrides, within)


def _unpacked(capture: Path, spool: Spool) -> Path:
    """Return the directory of a capture, which an archive holds as it is or in one."""
    top = spool.tree(capture) if capture.is_file() else None
    if top is None:
        return capture
    inside = [top, *sorted(top.iterdir())]
    return next((one for one in inside if (one / BEGIN).is_dir()), top)


def _check(
    capture: str,
    place: Path,
    scenario: Scenario | Mapping[str, Any] | str | Path | None,
    overrides: Sequence[str],
    within: float,
) -> Check:
    if scenario is None and (found := recorded_scenario(place)) is not None:
        # given anew, so that what is set by hand goes before it
        scenario = {
            name: table
            for name, table in _given(found.effective()).items()
            if name != "assign"
        }
    result = run(place, scenario, overrides=overrides)
    begin, end = (read_counters(place / part) for part in (BEGIN, END))
    lines: list[CheckedNumber] = []
    for path, counters in end.items():
        before = begin.get(path, {})
        lines += _io_lines(place, path, before, counters, result)
        lines += _memory_lines(path, before, counters, result)
    if not lines:
        raise CaptureError(
            f"{capture}: {END}/: no counter of a replayed device or cgroup is there"
        )
    driver = result.info["scenario"]["driver"]
    return Check(
        capture=capture,
        within=within,
        kernel=driver["kernel"],
        policy=driver["policy"],
        lines=lines,
        notes=list(result.info["notes"]),
    )


def _given(values: Any) -> Any:
    """Leave out what says nothing."""
    if isinstance(values, dict):
        kept = {name: _given(value) for name, value in values.items()}
        return {name: value for name, value in kept.items() if value is not None}
    return values


def _io_lines(
    place: Path,
    path: str,
    before: CgroupCounters,
    after: CgroupCounters,
    result: Result,
) -> Iterator[CheckedNumber]:
    """Compare ``io.stat``, or blkio's files, of the devices that are replayed.

    Below, the root's line has the file system's own I/O, too: it is left out.
    """
    counted = _io(place, path, before, after)
    for row in result.io_stat.to_pylist():
        device = row["device"]
        below = device == result.info["scenario"]["backing"]["device"]
        if row["cgroup"] != path or device not in counted or (below and path == "/"):
            continue
        for name in _IO:
            value = counted[device].get(name)
            if value is None or not (value or row[name]):
                continue
            yield CheckedNumber(
                cgroup=path,
                what=f"io.stat {device} {name}",
                predicted=row[name],
                counted=value,
                slack=SLACK_BYTES if name.endswith("bytes") else SLACK_COUNT,
            )


def _io(
    place: Path, path: str, before: CgroupCounters, after: CgroupCounters
) -> dict[str, dict[str, int]]:
    """Return what was counted of each device between begin and end."""
    start, stop = before.get("io.stat", {}), after.get("io.stat")
    if stop is None:
        start, stop = (_blkio(place / part / flat_name(path)) for part in (BEGIN, END))
    return {
        device: {
            name: value - start.get(device, {}).get(name, 0)
            for name, value in values.items()
        }
        for device, values in stop.items()
    }


def _blkio(folder: Path) -> dict[str, dict[str, int]]:
    """Read the files of cgroup v1, if there are any."""
    found: dict[str, dict[str, int]] = {}
    for file, names in _BLKIO.items():
        try:
            text = (folder / file).read_text("utf-8", "replace")
        except OSError:
            continue
        for line in text.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in names and words[2].isdigit():
                found.setdefault(words[0], {})[names[words[1]]] = int(words[2])
    return found


def _memory_lines(
    path: str, before: CgroupCounters, after: CgroupCounters, result: Result
) -> Iterator[CheckedNumber]:
    """Compare ``memory.stat`` and ``memory.events``."""
    rows = [row for row in result.memory.to_pylist() if row["cgroup"] == path]
    backing = result.info["scenario"]["backing"]["filesystem"]
    name = "shmem" if backing == "tmpfs" else "file"
    for row in rows:
        stat = after.get("memory.stat", {})
        # the root's page cache is everybody's, and the tools'
        if name in stat and (path != "/" or name == "shmem"):
            value = stat[name] - before.get("memory.stat", {}).get(name, 0)
            if value > SLACK_MEMORY or row[name]:
                yield CheckedNumber(
                    cgroup=path,
                    what=f"memory.stat {name}",
                    predicted=row[name],
                    counted=value,
                    slack=SLACK_MEMORY,
                )
        events = after.get("memory.events", {})
        for event in _EVENTS:
            if event not in events:
                continue
            value = events[event] - before.get("memory.events", {}).get(event, 0)
            if value or row[event]:
                yield CheckedNumber(
                    cgroup=path,
                    what=f"memory.events {event}",
                    predicted=row[event],
                    counted=value,
                    slack=SLACK_COUNT if event in ("high", "max") else 0,
                )
