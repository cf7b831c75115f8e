"""What every recording must give back, replayed under the driver it was taken with."""

from collections.abc import Iterator

import replay
from fidelity.page.bounds import Row, exact, within
from fidelity.page.lab import Lab
from fidelity.page.recording import recorded_means
from fidelity.page.tables import means

IO = ("rbytes", "wbytes", "rios", "wios", "dbytes", "dios")
#: How far a mean may be off under the driver of the recording, by `arrivals.mode`.
MEANS = {"recorded": 0.02, "dependent": 0.05}


def rows(lab: Lab, name: str) -> Iterator[Row]:
    """Yield a recording's counts and latencies.

    Parameters
    ----------
    lab : Lab
    name : str

    Yields
    ------
    Row
    """
    taken = lab[name]
    results = {
        mode: replay.run(
            taken.trace, taken.scenario() | {"arrivals": {"mode": mode}}, requests=True
        )
        for mode in MEANS
    }
    stat = {
        (row["cgroup"], row["device"]): row
        for row in results["recorded"].io_stat.to_pylist()
        if row["cgroup"] != "/"
    }
    equal = checked = 0
    for path, counters in taken.kernel().items():
        kernel = counters.get("io.stat", {}).get("7:0")
        if path != "/" and kernel is not None:
            found = stat.get((path, "7:0"), dict.fromkeys(IO, 0))
            checked += len(IO)
            equal += sum(found[column] == kernel[column] for column in IO)
    if checked:
        what = "values of `io.stat` of 7:0, every cgroup and column, that are equal"
        yield Row(name, name, what, "", checked, equal, exact(checked))
    for mode, bound in MEANS.items():
        result = results[mode]
        found_ns, kernel_ns = means(result), recorded_means(taken.trace, result)
        path = max(kernel_ns, key=lambda at: abs(found_ns[at] / kernel_ns[at] - 1))
        yield Row(
            name,
            name,
            f"mean latency, {mode} arrivals: {path}, the cgroup that is most off",
            "us",
            kernel_ns[path] / 1000,
            found_ns[path] / 1000,
            within(kernel_ns[path] / 1000, bound),
        )
