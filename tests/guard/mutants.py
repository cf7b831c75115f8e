"""Remove each condition of the shortcuts in turn; fail where no test notices.

    cd tests && python -m guard.mutants [WORD ...]

There are two kinds of conditions. A rule of the gate is removed by teaching the
shortcut all fields of the rule (`replay.engine.shortcuts.KNOWS`). A condition on a row
is compiled, so all of them are put behind switches in a copy of the sources, which is
built once, with checks; ``REPLAY_MUTANT`` is the number of the one that is removed.

A test notices by a difference to the reference, or by a crash: the tests of the gate
itself do not run. With words only those mutants run whose names have them all.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from replay.engine.shortcuts import Shortcut
from support.strategies import rules_that_close

TOP: Final = Path(__file__).parents[2]
PLACE: Final = TOP / "build" / "mutants"
JOBS: Final = int(os.environ.get("JOBS", "2"))
SHORTCUTS: Final = "tests/unit/engine/shortcuts"
PROPERTY: Final = "tests/property/test_engine_vs_reference.py"
#: A case in which the rule acts, for rules that random setups hardly ever show.
CLOSED: Final = SHORTCUTS + "/test_closed.py"
#: Where the conditions are: each begins a line of a block in parentheses, behind this.
BLOCKS: Final = (
    ("state/row_checks.pxd", "cdef inline bint row_is_plain("),
    ("shortcuts/bulk.pxd", "cdef inline bint is_usual("),
    ("shortcuts/bulk.pxd", "cdef inline bint is_sum("),
    ("shortcuts/bulk.pxd", "cdef inline bint is_foreseen("),
    ("shortcuts/lean.pxd", "    # an account that has latencies has a worker"),
    ("run/loop.pxd", "    request.known = "),
)
#: Conditions within a line.
LINES: Final = (
    ("shortcuts/lean.pxd", "max(begin - now, prior_ns) <= <int64_t> 0xFFFFFFFF"),
    ("run/stages.pxd", "done_ns < max_event_ns()"),
)
SWITCH: Final = '''
cdef extern from *:
    """
    #ifndef REPLAY_OFF
    #define REPLAY_OFF
    #include <stdlib.h>
    static int replay_off(int number)
    {
        const char *is = getenv("REPLAY_MUTANT");
        return is && atoi(is) == number;
    }
    #endif
    """
    bint mutant_is "replay_off"(int number) noexcept nogil
'''


class Mutant(NamedTuple):
    """A condition that is removed."""

    #: What `REPLAY_MUTANT` says.
    switch: str
    name: str
    #: Tests that are likely to notice, and which of them; the others run if they do
    #: not.
    first: tuple[str, ...]
    words: str = "not gate"


def gate_mutants() -> list[Mutant]:
    """Return a mutant for each rule that closes a shortcut."""
    return [
        Mutant(
            f"{shortcut.name}:{rule}",
            f"gate: {shortcut.name} whatever {rule} says",
            (CLOSED, PROPERTY),
            f"{shortcut.name}-{rule}",
        )
        for shortcut in Shortcut
        if shortcut != Shortcut.NONE
        for rule in rules_that_close(shortcut)
    ]


def row_mutants(engine: Path) -> list[Mutant]:
    """Put every condition on a row behind its switch, in a copy of the engine."""
    found: list[Mutant] = []

    def switched(file: str, condition: str) -> str:
        name = " ".join(condition.split())
        found.append(
            Mutant(
                str(len(found) + 1),
                f"{file}: without {name}",
                (SHORTCUTS + "/test_shortcuts.py",),
            )
        )
        return f"(mutant_is({len(found)}) or ({condition}))"

    for file, text in LINES:
        source = (engine / file).read_text()
        assert source.count(text) == 1, f"{file}: {text!r} is not there, or twice"
        (engine / file).write_text(source.replace(text, switched(file, text)))
    for file, head in BLOCKS:
        source = (engine / file).read_text()
        assert source.count(head) == 1, f"{file}: {head!r} is not there, or twice"
        before, after = source.split(head)
        block = re.search(r"(?<= \(\n)(?:        .*\n)+(?=    \)\n)", after)
        assert block is not None, f"{file}: no conditions behind {head!r}"
        conditions = re.split(r"^        (?:and )?(?=\S)", block[0], flags=re.M)[1:]
        joined = "\n        and ".join(
            switched(file, condition.rstrip()) for condition in conditions
        )
        after = f"{after[: block.start()]}        {joined}\n{after[block.end() :]}"
        (engine / file).write_text(before + head + after)
    for file in {file for file, _ in (*BLOCKS, *LINES)}:
        source = (engine / file).read_text()
        doc = source.index('"""\n') + 4
        (engine / file).write_text(source[:doc] + SWITCH + source[doc:])
    return found


def build() -> list[Mutant]:
    """Build the engine with its switches; return its mutants."""
    shutil.rmtree(PLACE / "src", ignore_errors=True)
    shutil.copytree(TOP / "src", PLACE / "src")
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(TOP / name, PLACE)
    found = row_mutants(PLACE / "src" / "replay" / "engine")
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--force"],
        cwd=PLACE,
        env={**os.environ, "REPLAY_BUILD": "debug", "REPLAY_MODULES": "_engine.pyx"},
        check=True,
    )
    return found


def notices(switch: str, *tests: str, words: str = "not gate") -> bool:
    """Return True if any of the tests fails or crashes under a mutant."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "guard.mutated"),
            *("-p", "no:cacheprovider", "--tb=no", "-k", words, *tests),
        ],
        cwd=TOP,
        env={
            **os.environ,
            "PYTHONPATH": f"{PLACE / 'src'}:{TOP / 'tests'}:{TOP}",
            "REPLAY_MUTANT": switch,
            "HYPOTHESIS_PROFILE": "mutants",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1:
        raise RuntimeError(f"{switch}: pytest ended with {done.stdout}{done.stderr}")
    return done.returncode != 0


def is_noticed(mutant: Mutant) -> bool:
    """Return True if a test notices a mutant; says so."""
    found = notices(mutant.switch, *mutant.first, words=mutant.words) or notices(
        mutant.switch,
        SHORTCUTS,
        PROPERTY,
        # rules that are not the mutant's have nothing to notice
        words="not gate and not away",
    )
    print(f"{'noticed' if found else 'NOT NOTICED':12} {mutant.name}", flush=True)
    return found


def main() -> None:
    """Run every mutant; end with 1 if one goes unnoticed."""
    mutants = [
        mutant
        for mutant in [*build(), *gate_mutants()]
        if all(word in mutant.name for word in sys.argv[1:])
    ]
    with ThreadPoolExecutor(JOBS) as pool:
        if notices("", SHORTCUTS + "/test_shortcuts.py"):
            sys.exit("tests fail without any mutant")
        noticed = list(pool.map(is_noticed, mutants))
    print(f"{sum(noticed)} of {len(mutants)} mutants noticed")
    sys.exit(0 if all(noticed) else 1)


if __name__ == "__main__":
    main()
