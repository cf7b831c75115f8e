"""What the pictures of a page are drawn from: small rows, made of a result's tables.

Every function is bounded by what a picture can show, not by the trace: a result of
10**7 requests makes a page of the same size as one of 10**4.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replay.common.text import time_text
from replay.engine.setup import Stage
from replay.report.facts import lone_wait
from replay.results.result import Result
from replay.results.stored import parts_of

Row = dict[str, Any]

#: Stages in the kernel's order.
STAGES: Final = tuple(
    stage.name.lower() for stage in Stage if stage.name.lower() != "total"
)
#: Cgroups that a picture tells apart; the others are summed up as one.
MOST_CGROUPS: Final = 12
OTHERS: Final = "(others)"
#: Points of a picture over time, and requests that are drawn one by one.
MOST_INTERVALS: Final = 240
MOST_POINTS: Final = 20_000
#: Cells of the latency heat map: times, and eighths of a decade.
TIME_CELLS: Final = 160
CELLS_A_DECADE: Final = 8
_MS: Final = 1e6


def by_io(result: Result) -> list[str]:
    """Return the cgroups that issued I/O, paid or waited, most bytes first."""
    sums: defaultdict[str, int] = defaultdict(int)
    others: dict[str, None] = {}
    for row in result.charges.to_pylist():
        sums[row["issuer"]] += row["rbytes"] + row["wbytes"] + row["dbytes"]
        others[row["payer"]] = None
    for row in result.interference.to_pylist():
        others |= {row["waiting"]: None, row["blocking"]: None}
    ranked = sorted(sums, key=lambda name: -sums[name])
    return list(dict.fromkeys([*ranked, *others]))


class ShownCgroups:
    """The cgroups that pictures tell apart, the first ones."""

    def __init__(self, names: Sequence[str], most: int | None = None) -> None:
        self.names = list(names[: MOST_CGROUPS if most is None else most])
        self.n_more = len(names) - len(self.names)
        self._known = set(self.names)

    def __call__(self, name: str) -> str:
        """Return the name, or what stands for all that are not shown."""
        return name if name in self._known else OTHERS

    @property
    def cut(self) -> str:
        """A picture's line on cgroups that it does not tell apart; empty for none."""
        if not self.n_more:
            return ""
        n = len(self.names)
        return f"{n} of {n + self.n_more} cgroups; the others are added up"


def waits(result: Result, shown: ShownCgroups) -> list[Row]:
    """Return seconds waited by waiting and blocking cgroup and by resource.

    Without what passes before the driver with nobody ahead.
    """
    sums: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in result.interference.to_pylist():
        if lone_wait(row["waiting"], row["blocking"], row["resource"]):
            continue
        key = (shown(row["waiting"]), shown(row["blocking"]), row["resource"])
        sums[key][0] += row["wait_ns"]
        sums[key][1] += row["count"]
    return [
        {
            "waiting": waiting,
            "blocking": blocking,
            "resource": resource,
            "wait_s": wait_ns / 1e9,
            "took": time_text(wait_ns),
            "count": count,
        }
        for (waiting, blocking, resource), (wait_ns, count) in sums.items()
        if wait_ns
    ]


def stage_means(result: Result, shown: ShownCgroups) -> list[Row]:
    """Return each cgroup's mean ms a request by stage."""
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    counts: defaultdict[str, int] = defaultdict(int)
    for row in result.latency.to_pylist():
        name = shown(row["cgroup"])
        if row["stage"] == "total":
            counts[name] += row["count"]
        else:
            sums[name, row["stage"]] += row["sum_ns"]
    return [
        {
            "cgroup": name,
            "stage": stage,
            "order": STAGES.index(stage),
            "mean_ms": sum_ns / counts[name] / _MS,
            "sum_s": sum_ns / 1e9,
        }
        for (name, stage), sum_ns in sums.items()
        if counts[name] and sum_ns
    ]


def distributions(result: Result, shown: ShownCgroups) -> list[Row]:
    """Return, by cgroup, the share of requests that took longer than a time.

    Exact, from the histograms' buckets; of many every so many are kept, the tail all.
    """
    buckets: defaultdict[str, defaultdict[int, int]] = defaultdict(
        lambda: defaultdict(int)
    )
    columns = ["cgroup", "stage", "low_ns", "high_ns", "count"]
    for part in parts_of(result.tables, "histograms", columns):
        total = part.filter(pc.equal(part["stage"].cast(pa.string()), "total"))
        for name, low, high, count in zip(
            total["cgroup"].to_pylist(),
            total["low_ns"].to_pylist(),
            total["high_ns"].to_pylist(),
            total["count"].to_pylist(),
            strict=True,
        ):
            buckets[shown(name)][(low + high) // 2] += count
    rows: list[Row] = []
    for name, counts in buckets.items():
        n = sum(counts.values())
        times = sorted(counts)
        longer = n
        step = max(1, len(times) // 200)
        for i, time_ns in enumerate(times):
            longer -= counts[time_ns]
            if time_ns and (i % step == 0 or i > len(times) - 40):
                rows.append(
                    {
                        "cgroup": name,
                        "time_ms": time_ns / _MS,
                        # the last has none behind it: half a request, for the log axis
                        "longer": max(longer, 0.5) / n,
                        "requests": n,
                    }
                )
    return rows


def quantiles(result: Result, shown: ShownCgroups) -> list[Row]:
    """Return p50, p99 and p99.9 of each cgroup that is shown, over its busiest rows."""
    best: dict[str, Row] = {}
    for row in result.latency.to_pylist():
        if row["stage"] == "total" and shown(row["cgroup"]) != OTHERS:
            last = best.get(row["cgroup"])
            if last is None or row["count"] > last["count"]:
                best[row["cgroup"]] = row
    return [
        {
            "cgroup": name,
            "quantile": label,
            "longer": longer,
            "time_ms": row[column] / _MS,
            "op": row["op"],
            "count": row["count"],
        }
        for name, row in best.items()
        for label, column, longer in (
            ("p50", "p50_ns", 0.5),
            ("p99", "p99_ns", 0.01),
            ("p99.9", "p999_ns", 0.001),
        )
        if row[column] > 0
    ]


def timeless(result: Result, shown: ShownCgroups) -> dict[str, float]:
    """Return the share of requests with a latency of 0, of those that have any."""
    zeros: defaultdict[str, int] = defaultdict(int)
    counts: defaultdict[str, int] = defaultdict(int)
    columns = ["cgroup", "stage", "low_ns", "high_ns", "count"]
    for part in parts_of(result.tables, "histograms", columns):
        for row in part.to_pylist():
            if row["stage"] == "total":
                counts[shown(row["cgroup"])] += row["count"]
                if row["high_ns"] == 0:
                    zeros[shown(row["cgroup"])] += row["count"]
    return {name: zeros[name] / counts[name] for name in zeros if counts[name]}


def over_time(result: Result, shown: ShownCgroups) -> tuple[list[Row], list[Row]]:
    """Return what happened in each interval: waits by stage, and sums.

    Returns
    -------
    stages : list of dict
        ``start_s``, ``cgroup``, ``stage``, ``wait_ms``.
    sums : list of dict
        ``start_s``, ``cgroup``, ``mib_s`` (I/O paid), ``requests_s``, ``mib`` (memory
        in use at the interval's end).
    """
    table = result.timeline
    if table is None or not table.num_rows:
        return [], []
    interval_ns = int(result.info["interval_ns"])
    n_intervals = 1 + int(pc.max(table["interval"]).as_py())
    merge = -(-n_intervals // MOST_INTERVALS)
    width_s = merge * interval_ns / 1e9
    columns = [
        *("interval", "cgroup", "rbytes", "wbytes", "usage_bytes"),
        *("requests", *(f"{stage}_ns" for stage in STAGES)),
    ]
    io: defaultdict[tuple[int, str], list[float]] = defaultdict(lambda: [0, 0])
    usage: dict[tuple[int, str], int] = {}
    last: defaultdict[str, dict[str, int]] = defaultdict(dict)
    spent: defaultdict[tuple[int, str, str], int] = defaultdict(int)
    for part in parts_of(result.tables, "timeline", columns):
        for row in part.to_pylist():
            at = row["interval"] // merge
            name = shown(row["cgroup"])
            one = io[at, name]
            # what is discarded is not moved
            one[0] += row["rbytes"] + row["wbytes"]
            one[1] += row["requests"]
            # a cgroup has no row where nothing of it changed
            last[name][row["cgroup"]] = row["usage_bytes"]
            usage[at, name] = sum(last[name].values())
            for stage in STAGES:
                if row[f"{stage}_ns"]:
                    spent[at, name, stage] += row[f"{stage}_ns"]
    stages = [
        {
            "start_s": at * width_s,
            "end_s": (at + 1) * width_s,
            "cgroup": name,
            "stage": stage,
            "order": STAGES.index(stage),
            "wait_ms": ns / _MS,
        }
        for (at, name, stage), ns in sorted(spent.items())
    ]
    sums = [
        {
            "start_s": at * width_s,
            "end_s": (at + 1) * width_s,
            "cgroup": name,
            "mib_s": n_bytes / 2**20 / width_s,
            "requests_s": requests / width_s,
            "mib": usage[at, name] / 2**20,
        }
        for (at, name), (n_bytes, requests) in sorted(io.items())
    ]
    return stages, sums


def memory_limits(info: Mapping[str, Any], shown: Collection[str]) -> list[Row]:
    """Return the scenario's memory limits as lines of the memory picture."""
    from replay.scenario.keys.sizes import parse_size

    rows = []
    cgroups = info["scenario"].get("cgroups")
    for path, keys in cgroups.items() if isinstance(cgroups, dict) else ():
        for name in ("memory.max", "memory.high"):
            value = keys.get(name) if isinstance(keys, dict) else None
            if value in (None, "max") or path not in shown:
                continue
            n_bytes = parse_size(str(value))
            if n_bytes is not None:
                rows.append(
                    {
                        "cgroup": path,
                        "limit": f"{name} = {value}",
                        "mib": n_bytes / 2**20,
                    }
                )
    return rows


def io_limits(info: Mapping[str, Any], shown: Collection[str]) -> list[Row]:
    """Return the scenario's limits of bytes a second as lines of the I/O picture."""
    found = []
    cgroups = info["scenario"].get("cgroups")
    for path, keys in cgroups.items() if isinstance(cgroups, dict) else ():
        lines = keys.get("io.max") if isinstance(keys, dict) else None
        for device, text in lines.items() if isinstance(lines, dict) else ():
            for word in text.split():
                name, _, rate = word.partition("=")
                if name in ("rbps", "wbps") and rate.isdecimal() and path in shown:
                    found.append(
                        {
                            "cgroup": path,
                            "limit": f"io.max {device} {name}",
                            "mib_s": int(rate) / 2**20,
                        }
                    )
    return found


def kills(result: Result) -> list[Row]:
    """Return the first kills, as marks on a time axis."""
    return [
        {
            "time_s": row["time_ns"] / 1e9,
            "cgroup": row["victim_cgroup"],
            "task": row["task"],
            "limit": row["limit_cgroup"],
            "mib": row["usage_bytes"] / 2**20,
        }
        for row in result.kills.slice(0, 200).to_pylist()
    ]


def payers(result: Result, shown: ShownCgroups) -> list[Row]:
    """Return MiB of I/O and memory by issuer and payer."""
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in result.charges.to_pylist():
        one = sums[shown(row["issuer"]), shown(row["payer"])]
        one[0] += row["rbytes"] + row["wbytes"] + row["dbytes"]
        one[1] += row["charged_bytes"]
    return [
        {
            "issuer": issuer,
            "payer": payer,
            "mib": io / 2**20,
            "memory_mib": memory / 2**20,
        }
        for (issuer, payer), (io, memory) in sums.items()
        if io or memory
    ]


def request_points(result: Result, shown: ShownCgroups) -> tuple[list[Row], list[Row]]:
    """Return requests one by one, or where there are many, their density.

    Returns
    -------
    points : list of dict
        ``at_s``, ``ms`` (0 keeps its own place), ``cgroup``, and the longest stage.
    cells : list of dict
        ``from_s``, ``to_s``, ``low_ms``, ``high_ms``, ``cgroup``, ``count``.
    """
    if "requests" not in result.tables:
        return [], []
    # a table that is stored may be larger than memory
    n_rows = 0
    for part in parts_of(result.tables, "requests", ["row"]):
        n_rows += part.num_rows
        if n_rows > MOST_POINTS:
            return [], list(_cells(result, shown))
    table = result.tables["requests"]
    rows = []
    for row in table.to_pylist():
        if row["completion_ns"] is None:
            continue
        longest = max(STAGES, key=lambda stage: row[f"{stage}_ns"])
        rows.append(
            {
                "at_s": round(row["arrival_ns"] / 1e9, 7),
                "ms": round((row["completion_ns"] - row["arrival_ns"]) / _MS, 5),
                "cgroup": shown(row["issuer"]),
                "row": row["row"],
                "most": longest if row[f"{longest}_ns"] else "nothing",
            }
        )
    return rows, []


def _cells(result: Result, shown: ShownCgroups) -> Iterator[Row]:
    """Count requests by time of arrival, latency and cgroup, part by part."""
    names: list[str] = [*shown.names, OTHERS]
    place = {name: i for i, name in enumerate(names)}
    end_ns = max(1, int(result.info["counts"].get("end_ns", 1)))
    counts: defaultdict[tuple[int, int, int], int] = defaultdict(int)
    columns = ["arrival_ns", "completion_ns", "issuer"]
    for part in parts_of(result.tables, "requests", columns):
        done = part.filter(pc.is_valid(part["completion_ns"]))
        if not done.num_rows:
            continue
        arrival = done["arrival_ns"].to_numpy()
        took = done["completion_ns"].to_numpy() - arrival
        issuers = done["issuer"].combine_chunks()
        if not pa.types.is_dictionary(issuers.type):
            issuers = issuers.dictionary_encode()
        if isinstance(issuers, pa.ChunkedArray):
            issuers = issuers.combine_chunks()
        code = np.array(
            [
                place.get(name, len(names) - 1)
                for name in issuers.dictionary.to_pylist()
            ],
            np.int64,
        )[issuers.indices.to_numpy()]
        at = np.minimum(arrival * TIME_CELLS // end_ns, TIME_CELLS - 1)
        logs = np.floor(np.log10(np.maximum(took, 1)) * CELLS_A_DECADE).astype(np.int64)
        logs[took == 0] = -1
        key, n = np.unique(
            (code * TIME_CELLS + at) * 256 + logs + 1, return_counts=True
        )
        for one, count in zip(key.tolist(), n.tolist(), strict=True):
            rest, level = divmod(one, 256)
            cgroup, when = divmod(rest, TIME_CELLS)
            counts[cgroup, when, level - 1] += count
    width_s = end_ns / TIME_CELLS / 1e9
    for (cgroup, when, level), count in sorted(counts.items()):
        yield {
            "cgroup": names[cgroup],
            "from_s": when * width_s,
            "to_s": (when + 1) * width_s,
            "low_ms": 0 if level < 0 else 10 ** (level / CELLS_A_DECADE) / _MS,
            "high_ms": 0 if level < 0 else 10 ** ((level + 1) / CELLS_A_DECADE) / _MS,
            "count": count,
        }
