"""How long a command takes before it does anything."""

from functools import partial

from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, python, repeat, replay, run

#: Short and noisy: many repeats.
REPEATS = 15


def _start(
    name: str, bench: Bench, *, what: str, command: list[str], peer: str = ""
) -> Result:
    return Result(
        case=name,
        what=what,
        unit="call",
        count=1,
        spent=repeat(lambda: run(command), REPEATS),
        peer=peer,
    )


STARTUP: list[Case] = [
    Case(
        name="start.click",
        run=partial(
            _start,
            what="python -c 'import click'",
            command=python("-c", "import click"),
        ),
    ),
    Case(
        name="start.help",
        run=partial(
            _start,
            what="replay --help",
            command=replay("--help"),
            peer="start.click",
        ),
    ),
]
