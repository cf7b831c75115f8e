"""Peak anonymous memory of whole commands, as the trace grows."""

import shutil
from functools import partial

from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, peak_of, replay

#: 16 GiB of distinct pages, on which the goal is judged.
PAGES = 1 << 22


def _peak(name: str, bench: Bench, *, command: str, events: int) -> Result:
    directory, n_events = bench.recording(cgroups=1000, events=events, pages=PAGES)
    output = bench.scratch / "peak"
    spent, peak = peak_of(replay(command, directory, "-o", output))
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink()
    return Result(
        case=name,
        what=f"replay {command} of {events:,} events, 1,000 cgroups, 16 GiB",
        unit="event",
        count=n_events,
        spent=(spent,),
        bytes_peak=peak,
    )


MEMORY: list[Case] = [
    Case(
        name=f"memory.{command}.{events}",
        run=partial(_peak, command=command, events=events),
        slow=events > 1_000_000,
        huge=events > 10_000_000,
    )
    for command in ("convert", "run")
    for events in (1_000_000, 10_000_000, 100_000_000)
]
