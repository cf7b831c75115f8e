"""Write executions.md of the lines that rounds have printed.

    python tests/fuzz/table.py build/fuzz/round.json ...

adds the lines of some rounds to ``executions.jsonl``, and writes the table of all. A
round that found something is a line as well; ``--mended`` says by which test that is
held now: ``--mended SEED tests/...::test_name``.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ROUNDS: Final = HERE / "executions.jsonl"
PAGE: Final = HERE / "executions.md"
Round = dict[str, Any]

HEAD: Final = """\
# Executions of the fuzzers

Written by `python tests/fuzz/table.py` of the lines that `make fuzz SURFACE=...
SECONDS=...` prints (`executions.jsonl`).
"""
SURFACES_HEAD: Final = """\
## Inputs

*seen*: edges of the decoder's compiled code, or places in the code where an input of
another surface was refused; most of any round.

| surface | executions | rounds | seen | processor's time | found something |
|---|---:|---:|---:|---:|---:|
"""
MODEL_HEAD: Final = """\
## The model

An *execution* is a setup with rows that the engine and the reference in Python replayed
both, and gave the same tables to the last bit, or refused the same row. *Engine alone*:
runs of the engine that no reference ran beside, by its shortcuts and for the relations;
they are compared with an execution's tables.

| | |
|---|---:|
"""
SIGNALS_HEAD: Final = """\
## Signals

SIGINT, SIGTERM, SIGHUP and SIGKILL at random moments over all commands
(`REPLAY_SIGNALS=200 REPLAY_FIGURES=FILE pytest tests/integration/test_signals.py`):
the exit code says which, nothing is left behind, no process lives.

| moments | by signal | ended by it | had ended before | left behind |
|---:|---|---:|---:|---:|
"""


def table(rounds: Sequence[Round]) -> str:
    """Return the page of some rounds."""
    by_surface: dict[str, list[Round]] = {}
    for one in rounds:
        by_surface.setdefault(one["surface"], []).append(one)
    signals = by_surface.pop("signals", [])
    model = by_surface.pop("model", [])
    parts = [
        HEAD,
        SURFACES_HEAD + "".join(_surface(name, of) for name, of in by_surface.items()),
        MODEL_HEAD + "".join(_model(model)),
    ]
    if signals:
        parts.append(SIGNALS_HEAD + "".join(map(_signals, signals)))
    if found := [one for one in rounds if "found" in one]:
        lines = "".join(
            f"- {one['surface']}, seed {one['seed']}: {one['found']}. Held by"
            f" `{one.get('mended', 'no test yet')}`.\n"
            for one in found
        )
        parts.append("## Found, and mended\n\n" + lines)
    return "\n".join(parts)


def _total(rounds: Iterable[Round], name: str) -> int:
    return sum(one.get(name, 0) for one in rounds)


def _surface(name: str, rounds: Sequence[Round]) -> str:
    seen = max(one.get("seen", 0) for one in rounds)
    n_found = sum("found" in one for one in rounds)
    return (
        f"| {name} | {_total(rounds, 'executions'):,} | {len(rounds)} | {seen:,} | "
        f"{_minutes(rounds)} | {n_found or 'never'} |\n"
    )


def _model(rounds: Sequence[Round]) -> Iterable[str]:
    relations: Counter[str] = Counter()
    for one in rounds:
        relations.update(one.get("relations", {}))
    executions = _total(rounds, "executions")
    yield f"| executions | {executions:,} |\n"
    yield f"| of them refused | {_total(rounds, 'refused'):,} |\n"
    alone = max(0, _total(rounds, "engine") - executions)
    yield f"| engine alone | {alone:,} |\n"
    yield f"| of them too long for the reference | {_total(rounds, 'long'):,} |\n"
    for name, n in sorted(relations.items()):
        yield f"| relation: {name} | {n:,} |\n"
    yield f"| rounds | {len(rounds)} |\n"
    yield f"| processor's time | {_minutes(rounds)} |\n"
    yield f"| found something | {sum('found' in one for one in rounds) or 'never'} |\n"


def _signals(one: Round) -> str:
    by_signal = ", ".join(f"{name} {n}" for name, n in one["by_signal"].items())
    return (
        f"| {one['executions']:,} | {by_signal} | {one['ended']:,} | "
        f"{one['executions'] - one['ended']:,} | {one['left']:,} |\n"
    )


def _minutes(rounds: Iterable[Round]) -> str:
    return f"{sum(one.get('cpu_s', 0) for one in rounds) / 60:,.1f} min"


def read(path: Path) -> list[Round]:
    """Return the lines of a file that are rounds."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{")]


def main() -> None:
    """Add rounds, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="*", type=Path)
    parser.add_argument("--mended", nargs=2, metavar=("SEED", "TEST"))
    parser.add_argument("--print", action="store_true", help="write nothing")
    given = parser.parse_args()
    rounds = read(ROUNDS)
    for path in given.rounds:
        rounds += [one for one in read(path) if one not in rounds]
    if given.mended:
        seed, test = given.mended
        for one in rounds:
            if "found" in one and str(one["seed"]) == seed:
                one["mended"] = test
    page = table(rounds)
    if given.print:
        print(page, end="")
        return
    ROUNDS.write_text("".join(f"{json.dumps(one)}\n" for one in rounds))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
