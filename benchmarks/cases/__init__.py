"""The cases, in the order in which they run and are shown."""

from benchmarks.cases.batch import BATCH
from benchmarks.cases.cold import COLD
from benchmarks.cases.commands import COMMANDS
from benchmarks.cases.engine import ENGINE
from benchmarks.cases.feed import FEED
from benchmarks.cases.formats import FORMATS
from benchmarks.cases.memory import MEMORY
from benchmarks.cases.peers import PEERS
from benchmarks.cases.read import READ
from benchmarks.cases.registry import Case
from benchmarks.cases.stages import STAGES
from benchmarks.cases.startup import STARTUP

CASES: list[Case] = [
    *READ,
    *COLD,
    *FORMATS,
    *FEED,
    *ENGINE,
    *STAGES,
    *PEERS,
    *COMMANDS,
    *MEMORY,
    *BATCH,
    *STARTUP,
]
