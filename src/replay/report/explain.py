"""Why a request took as long as it did, why a task was killed, and what would help."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any, Final

from msgspec import Struct

from replay.common.text import count_text, size_text, time_text
from replay.report.ahead import (
    RequestsAhead,
    Row,
    ahead_of,
    request_of_row,
    slowest,
    slowest_of_each,
)
from replay.report.facts import lone_wait
from replay.report.limits import limit_key, limit_value
from replay.results.result import Result
from replay.results.tables import STAGE_NAMES

#: Cgroups that are named of those ahead of a request, and requests that are explained.
MOST_AHEAD: Final = 3
MOST_REQUESTS: Final = 5
MOST_KILLS: Final = 5
#: A stage of a smaller share is listed, but nobody is named for it.
_SHARE: Final = 0.05
#: A wait of a smaller part of the heaviest one is left out.
_HEAVY: Final = 0.01
#: What limits a cgroup in a stage.
_LIMITS: Final = {
    "throttle": ("io.max", "io.latency", "io.cost.qos", "io.bfq.weight"),
    "backing": ("io.max", "io.latency", "io.cost.qos", "io.bfq.weight"),
    "memory": ("memory.high", "memory.max"),
    "debt": ("io.weight",),
}
#: Policies with one queue for each device.
_ONE_QUEUE: Final = ("root", "naive", "instance", "backcharge")
_MEANS: Final = {
    "throttle": "held back on the traced device",
    "queue": "before the device had it: its queue, or the block layer's own work",
    "tag": "for a tag, or the block layer's own work before the driver",
    "dispatch": "behind other commands of its worker",
    "lock": "waiting for the backing file's lock",
    "memory": "charging memory",
    "backing": "held back on the device below",
    "debt": "sleeping for what its cgroup owed",
    "device": "being served",
}


class StageTime(Struct, frozen=True, kw_only=True):
    """One stage of a request.

    Attributes
    ----------
    stage : str
    time_ns : int
    behind : list of RequestsAhead
        Who was ahead of it, if that is known.
    limits : list of str
        What limited it, as the scenario has it.
    """

    stage: str
    time_ns: int
    behind: list[RequestsAhead]
    limits: list[str]

    @property
    def text(self) -> str:
        """What it was at, and behind whom."""
        said = _MEANS[self.stage]
        if self.behind:
            said += ": " + _ahead_text(self.stage, self.behind)
        if self.limits:
            said += ": " + ", ".join(self.limits)
        return said


class ExplainedRequest(Struct, frozen=True, kw_only=True):
    """A request, explained.

    Attributes
    ----------
    row, device, op, sector, nbytes, pid, process, issuer, payer, arrival_ns, errno
        As in ``requests``.
    total_ns : int or None
        None if it was not completed.
    stages : list of StageTime
        Those in which it spent time, in their order.
    remedies : list of str
        What would have removed its longest wait.
    """

    row: int
    device: str
    op: str
    sector: int
    nbytes: int
    pid: int
    process: str | None
    issuer: str
    payer: str
    arrival_ns: int | None
    total_ns: int | None
    errno: int
    stages: list[StageTime]
    remedies: list[str]

    @property
    def title(self) -> str:
        """Whose it is and what it was."""
        by = f" by {self.process} ({self.pid})" if self.process else ""
        paid = "" if self.payer == self.issuer else f", paid by {self.payer}"
        return (
            f"{self.issuer}'s {self.op} of {size_text(self.nbytes)} at sector "
            f"{self.sector:,} of {self.device}{by}{paid}"
        )


class ExplainedKill(Struct, frozen=True, kw_only=True):
    """A kill, explained.

    Attributes
    ----------
    time_ns, limit_cgroup, victim_cgroup, task, usage_bytes, row
        As in ``kills``.
    limit : str
        The limit that was met, as the scenario has it.
    charged : list of (str, int)
        Whose I/O had been charged there at the end, bytes, most first.
    remedies : list of str
        What would have prevented it.
    """

    time_ns: int
    limit_cgroup: str
    victim_cgroup: str
    task: str
    usage_bytes: int
    row: int
    limit: str
    charged: list[tuple[str, int]]
    remedies: list[str]


class Explanation(Struct, frozen=True, kw_only=True):
    """What a result's waits and kills came from.

    Attributes
    ----------
    kills : list of ExplainedKill
    n_kills : int
        All of them.
    requests : list of ExplainedRequest or None
        None where the result has no table of requests.
    waits : list of dict
        The heaviest rows of ``interference``, with ``remedies``.
    """

    kills: list[ExplainedKill]
    n_kills: int
    requests: list[ExplainedRequest] | None
    waits: list[Row]


def explain(
    result: Result,
    *,
    most: int = MOST_REQUESTS,
    cgroup: str | None = None,
    row: int | None = None,
) -> Explanation:
    """Explain the slowest request of each cgroup, and the kills, of a result.

    Parameters
    ----------
    result : Result
    most : int
        How many requests.
    cgroup : str or None
        The slowest of this cgroup's requests instead.
    row : int or None
        Those of this row of the trace instead.

    Returns
    -------
    Explanation
    """
    scenario = result.info["scenario"]
    requests = None
    if "requests" in result.tables:
        if row is not None:
            rows = request_of_row(result, row)
        elif cgroup is not None:
            rows = slowest(result, most, cgroup)
        else:
            rows = slowest_of_each(result, most)
        requests = [
            _request(one, ahead, scenario)
            for one, ahead in zip(rows, ahead_of(result, rows), strict=True)
        ]
    return Explanation(
        kills=[
            _kill(one, result) for one in result.kills.slice(0, MOST_KILLS).to_pylist()
        ],
        n_kills=result.kills.num_rows,
        requests=requests,
        waits=_waits(result, scenario, cgroup),
    )


def _request(
    row: Row, ahead: Mapping[str, list[RequestsAhead]], scenario: Mapping[str, Any]
) -> ExplainedRequest:
    spent = {stage: row[f"{stage}_ns"] for stage in STAGE_NAMES}
    whole = max(sum(spent.values()), 1)
    stages = []
    for stage, time_ns in spent.items():
        if not time_ns:
            continue
        told = time_ns >= _SHARE * whole
        held = row["issuer"] if stage == "throttle" else row["payer"]
        stages.append(
            StageTime(
                stage=stage,
                time_ns=time_ns,
                behind=ahead.get(stage, [])[:MOST_AHEAD] if told else [],
                limits=list(_limits(scenario, held, stage)) if told else [],
            )
        )
    names = ExplainedRequest.__struct_fields__
    remedies: list[str] = []
    if stages:
        longest = max(stages, key=lambda one: one.time_ns)
        others = [one.cgroup for one in ahead.get(longest.stage, ())]
        remedies = list(
            _remedies(longest.stage, row["issuer"], row["payer"], others, scenario)
        )
    return ExplainedRequest(
        **{name: row[name] for name in names if name in row},
        stages=stages,
        remedies=remedies,
    )


def _kill(row: Row, result: Result) -> ExplainedKill:
    scenario = result.info["scenario"]
    where = row["limit_cgroup"]
    value = limit_value(scenario, where)
    name = "machine.memory" if where == "/" else "memory.max"
    sums: dict[str, int] = {}
    for one in result.charges.to_pylist():
        if _is_below(one["payer"], where):
            left = one["charged_bytes"] - one["uncharged_bytes"]
            sums[one["issuer"]] = sums.get(one["issuer"], 0) + left
    charged = sorted(
        ((name, n) for name, n in sums.items() if n > 0), key=lambda one: -one[1]
    )
    remedies = [f"a larger limit: --set {quote(f'{limit_key(where)}=max')}"]
    if scenario.get("driver", {}).get("policy") not in ("enospc", "root"):
        remedies.append(
            "no kill but writes that fail: --set driver.policy=enospc; or what the "
            "root pays: --set driver.policy=root"
        )
    return ExplainedKill(
        **{name: row[name] for name in ExplainedKill.__struct_fields__ if name in row},
        limit=f"{name} = {value}" if value else name,
        charged=charged[:MOST_AHEAD],
        remedies=remedies,
    )


#: The stage in which one waits for a resource.
_STAGE_OF: Final = {"worker": "dispatch", "device": "device"}


def _waits(
    result: Result, scenario: Mapping[str, Any], cgroup: str | None
) -> list[Row]:
    rows = [
        row
        for row in result.interference.to_pylist()
        if cgroup in (None, row["waiting"])
        and row["wait_ns"]
        and not lone_wait(row["waiting"], row["blocking"], row["resource"])
    ]
    rows.sort(key=lambda row: (-row["wait_ns"], row["waiting"], row["blocking"]))
    heavy = [row for row in rows if row["wait_ns"] >= _HEAVY * rows[0]["wait_ns"]]
    return [
        {
            **row,
            "remedies": list(
                _remedies(
                    _STAGE_OF.get(row["resource"], row["resource"]),
                    row["waiting"],
                    row["waiting"],
                    _ahead(row),
                    scenario,
                )
            ),
        }
        for row in heavy[:MOST_REQUESTS]
    ]


def _ahead_text(stage: str, ahead: Sequence[RequestsAhead]) -> str:
    noun = {"dispatch": "command", "lock": "write"}.get(stage, "request")
    if stage == "dispatch":
        return ", ".join(
            f"{count_text(one.n_requests, noun)} of {one.cgroup} in "
            f"{time_text(one.wait_ns or 0)}"
            for one in ahead
        )
    which = {
        "lock": "at the file meanwhile",
        "queue": "in the device meanwhile",
    }.get(stage, "in the device then")
    return (
        ", ".join(
            f"{count_text(one.n_requests, noun)} of {one.cgroup}" for one in ahead
        )
        + f" {which}"
    )


def _keys(scenario: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    cgroups = scenario.get("cgroups")
    found = cgroups.get(path) if isinstance(cgroups, dict) else None
    return found if isinstance(found, dict) else {}


def _with_parents(path: str) -> Iterator[str]:
    """Name a cgroup and those above it, but for the root."""
    while path.startswith("/") and path != "/":
        yield path
        path = path.rpartition("/")[0]


def _is_below(path: str, above: str) -> bool:
    return above in ("/", path) or path.startswith(f"{above}/")


def _limits(scenario: Mapping[str, Any], path: str, stage: str) -> Iterator[str]:
    for one in _with_parents(path):
        keys = _keys(scenario, one)
        for name in _LIMITS.get(stage, ()):
            value = keys.get(name)
            if value in (None, "max", {}, [], "") or (
                name.endswith("weight") and value == 100
            ):
                continue
            yield f"{one}'s {name} = {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return str(value)


def _ahead(row: Row) -> list[str]:
    """Return whom a sum of waits was behind: in the queue perhaps nobody, if itself."""
    own = row["resource"] == "queue" and row["waiting"] == row["blocking"]
    return [] if own else [row["blocking"]]


def _remedies(
    stage: str,
    issuer: str,
    payer: str,
    ahead: Sequence[str],
    scenario: Mapping[str, Any],
) -> Iterator[str]:
    """Say what would remove a wait; nothing that is not a rule of the model."""
    policy = scenario.get("driver", {}).get("policy", "")
    # the first had most of it: where that is its own, another driver changes little
    others = list(dict.fromkeys(ahead))
    others = [] if others[:1] == [issuer] else [n for n in others if n != issuer]
    if stage == "dispatch" and policy in _ONE_QUEUE and others:
        yield (
            f"a worker of its own, so that {others[0]}'s commands are not ahead: "
            "--set driver.policy=per-cgroup"
        )
    elif stage == "dispatch" and others:
        yield (f"an io controller of its own: {issuer} and {others[0]} share a worker")
    elif stage == "dispatch":
        yield f"fewer of {issuer}'s own requests at once: only they were ahead"
    elif stage in ("throttle", "backing", "memory", "debt"):
        held = issuer if stage == "throttle" else payer
        found = False
        for one in _with_parents(held):
            for name in _LIMITS[stage][:2]:
                if _keys(scenario, one).get(name) not in (None, "max", {}, [], ""):
                    found = True
                    yield f"a larger {name} of {one}"
        if not found:
            whom = others[0] if others else "those that were ahead"
            yield f"a larger share than {whom} has, or a limit on {whom}"
    elif stage == "lock":
        whom = f" {others[0]}'s" if others else ""
        yield f"a file of its own: writers of one file wait for each other,{whom} too"
    elif stage in ("tag", "queue") and others:
        yield f"fewer requests of {others[0]} in the device: an io.max of {others[0]}"
    elif stage == "queue" and ahead:
        yield f"fewer of {issuer}'s own requests at once"
    elif stage == "device":
        yield "a faster device: it was served all that time"
