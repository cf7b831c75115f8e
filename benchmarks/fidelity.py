"""Print how close replays of ``traces/`` come to what the kernel counted.

    python -m benchmarks.fidelity

Memory: shmem that the kernel charged, and the replay, with the kills of both. Latency:
the largest difference of a cgroup's mean total from the recorded one, replayed under
the driver of the recording; then what one worker for two costs, against a recording.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import replay

TRACES = Path(__file__).parents[1] / "traces"
#: Recording that is replayed under its scenario, and the one that the kernel ran so.
MEMORY = (
    ("seed-unlimited", "seed-oom-direct"),
    ("seed-oom-direct", "seed-oom-direct"),
    ("seed-swap", "seed-swap"),
    ("nested-unlimited", "tmpfs-nested"),
    ("tmpfs-nested", "tmpfs-nested"),
    ("tmpfs-enospc", "tmpfs-enospc"),
)


def main() -> None:
    """Print what both counted."""
    print(f"{'replayed':<17}{'counted in':<16}{'cgroup':<12}", end="")
    print(f"{'kernel B':>11}{'replay B':>12}{'off':>9} kills")
    for name, counted in MEMORY:
        for cgroup, kernel, found, kills in memory(name, counted):
            off = f"{found / kernel - 1:+.3%}"
            print(f"{name:<17}{counted:<16}{cgroup:<12}", end="")
            print(f"{kernel:>11,}{found:>12,}{off:>9} {kills}")
    names = sorted(path.stem for path in TRACES.glob("*.toml"))
    print(f"\nmean latency per cgroup, {len(names)} recordings under their own driver:")
    for mode in ("recorded", "dependent"):
        most = max((worst(name, mode) for name in names), key=abs)
        print(f"  {mode} arrivals: at most {most:+.2%} off")
    print(f"small-a of workers-per-cgroup through one worker: {through_one():+.1%} off")


def memory(name: str, counted: str) -> list[tuple[str, int, int, str]]:
    """Return cgroup, kernel's and replayed shmem, and kills of both."""
    result = replay.run(TRACES / name, TRACES / f"{name}.toml")
    end = json.loads((TRACES / counted / "expected.json").read_text())["end"]
    rows = []
    for row in result.memory.to_pylist():
        kernel = end[row["cgroup"]]
        if row["cgroup"] != "/" and row["own_shmem"]:
            kills = f"{kernel['memory.events']['oom_kill']} {row['oom_kill']}"
            shmem = kernel["memory.stat"]["shmem"]
            rows.append((row["cgroup"], shmem, row["shmem"], kills))
    return rows


def own_driver(name: str) -> dict[str, Any]:
    """Return the driver of a recording, and whose requests are whose."""
    given: dict[str, Any] = replay.Scenario.load(TRACES / f"{name}.toml").effective()
    policy = {"policy": given["trace"]["policy"]}
    rules = [
        {key: value for key, value in rule.items() if value is not None}
        for rule in given["assign"]
    ]
    return {"trace": policy, "driver": policy, "assign": rules}


def means(name: str, mode: str) -> dict[str, tuple[float, float]]:
    """Return each cgroup's mean total, replayed and recorded, ns."""
    trace = replay.open_or_convert([TRACES / name])
    scenario = own_driver(name) | {"arrivals": {"mode": mode}}
    with trace:
        result = replay.run(trace, scenario, requests=True)
        rows = trace.table().select(["issue_ns", "complete_ns"]).to_pylist()
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for request in result.tables["requests"].to_pylist():
        row = rows[request["row"]]
        if request["completion_ns"] is not None:
            one = sums[request["issuer"]]
            one[0] += request["completion_ns"] - request["arrival_ns"]
            one[1] += row["complete_ns"] - row["issue_ns"]
            one[2] += 1
    return {cgroup: (a / n, b / n) for cgroup, (a, b, n) in sums.items()}


def worst(name: str, mode: str) -> float:
    """Return the largest difference of a cgroup's mean from the recorded one."""
    return max((a / b - 1 for a, b in means(name, mode).values()), key=abs)


def through_one() -> float:
    """Return how far small-a's mean is from the one recorded through one worker."""
    name = "workers-per-cgroup"
    result = replay.run(TRACES / name, TRACES / f"{name}.toml")
    (found,) = (
        row["mean_ns"]
        for row in result.latency.to_pylist()
        if (row["cgroup"], row["stage"]) == ("/a", "total")
    )
    return float(found / means("workers-root", "recorded")["/a"][1] - 1)


if __name__ == "__main__":
    main()
