"""Fuzz one surface: ``python tests/fuzz/learn.py decoder --seconds 600``.

What an input does that none did before is why it is kept, for the next inputs to be
made of: for the decoder edges of its compiled code (`_fuzz.pyx`), for the others where
in the code it was refused. The corpora (`corpora.py`) are the start, and ``--keep``
makes them anew. The model's inputs are random setups and rows, with three oracles: the
reference, conservation, and relations that hold whatever is right (`model.py`).

``--executions`` makes a round of so many inputs, however fast the machine is, and of
the kept ones alone: the same ones everywhere.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

TOP: Final = Path(__file__).parents[2]
sys.path[:0] = [
    str(TOP / "build" / "fuzz"),
    str(TOP / "tests"),
    str(Path(__file__).parent),
]

import _fuzz  # type: ignore[import-not-found]  # noqa: E402
import corpora  # type: ignore[import-not-found]  # noqa: E402
from surfaces import (  # type: ignore[import-not-found]  # noqa: E402
    MADE,
    SURFACES,
    seeds_of,
)

import replay  # noqa: E402
from replay.common.errors import ReplayError  # noqa: E402

#: Executions of the decoder between two looks at the clock.
AT_ONCE: Final = 20_000


@dataclass(frozen=True)
class Round:
    """How long a round takes.

    Attributes
    ----------
    seconds : float
    executions : int or None
        So many, whatever time they take; None: as many as there is time for.
    seed : int
    """

    seconds: float
    executions: int | None
    seed: int

    @property
    def learns(self) -> bool:
        """Inputs that do something new are changed further."""
        return self.executions is None

    def left(self, began: float, n_done: int) -> int:
        """Return how many executions may follow before the next look, 0 for none."""
        if self.executions is not None:
            return min(AT_ONCE, self.executions - n_done)
        return AT_ONCE if time.monotonic() - began < self.seconds else 0


def fuzz_decoder(corpus: list[bytes], given: Round) -> tuple[int, int, list[bytes]]:
    """Decode a round; return executions, edges seen, and inputs that take them."""
    target = _fuzz.DecoderTarget()

    def taken(data: bytes) -> list[int]:
        _fuzz.map_reset()
        if failure := target.one(data):
            raise AssertionError(f"{data!r}: {failure}")
        edges: list[int] = _fuzz.map_taken()
        _fuzz.map_news()
        return edges

    for data in corpus:
        taken(data)
    began, n_done, seed = time.monotonic(), 0, given.seed
    while n := given.left(began, n_done):
        seed += 1
        mixed = seed * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        target.run(corpus, n, mixed, given.learns)
        if target.failure:
            raise AssertionError(f"{target.failed!r}: {target.failure}")
        n_done += n
    n_edges = _fuzz.edges()
    return n_done, n_edges, corpora.least(corpus, [taken(data) for data in corpus])


def fuzz_surface(
    surface: Callable[[bytes, Path], Any],
    corpus: list[bytes],
    given: Round,
) -> tuple[int, int, list[bytes]]:
    """Read a round's inputs; return executions, outcomes seen, an input of each."""
    rng = random.Random(given.seed)
    seen: dict[str, bytes] = {}
    began, n_done = time.monotonic(), 0
    queue = list(corpus)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place = Path(folder)
        while queue or given.left(began, n_done):
            if queue:
                data = queue.pop(0)
            else:
                base, other = rng.choice(corpus), rng.choice(corpus)
                data = _fuzz.mutated(base, other, rng.getrandbits(64))
                n_done += 1
            try:
                outcome = outcome_of(surface, data, place)
            except BaseException:
                print(f"input: {data!r}", file=sys.stderr)
                raise
            if outcome not in seen and given.learns:
                corpus.append(data)
            if len(data) < len(seen.get(outcome, data + b".")):
                seen[outcome] = data
    return n_done, len(seen), list(seen.values())


def outcome_of(surface: Callable[[bytes, Path], Any], data: bytes, place: Path) -> str:
    """Read an input; return what came out, or through which lines it was refused."""
    try:
        return f"good: {surface(data, place)}"
    except ReplayError as error:
        refused = error
    if "\n" in str(refused):
        raise AssertionError(f"more than a line: {refused}")
    return raised_at(refused)


def raised_at(error: BaseException | None) -> str:
    """Return through which lines an error came, and those of what it came from."""
    found = []
    while error is not None:
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            found.append(f"{Path(code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    return " ".join(found)


def fuzz(surface: str, given: Round, *, keeps: bool) -> dict[str, Any]:
    """Fuzz a surface; return what was done."""
    if surface == "model":
        import compiled  # type: ignore[import-not-found]

        if given.learns:
            compiled.use()
        from model import fuzz_model  # type: ignore[import-not-found]

        done = fuzz_model(given.seconds, given.seed, given.executions)
        known = ("executions", "engine", "refused", "long")
        relations = {name: n for name, n in done.items() if name not in known}
        return {name: done[name] for name in known} | {"relations": relations}
    corpus = corpora.kept(surface)
    if given.learns or surface not in MADE or not corpus:
        corpus = [*seeds_of(surface), *corpus]
    if surface == "decoder":
        n_done, n_seen, of_use = fuzz_decoder(corpus, given)
    else:
        n_done, n_seen, of_use = fuzz_surface(SURFACES[surface], corpus, given)
    if keeps:
        corpora.keep(surface, of_use)
    return {"executions": n_done, "seen": n_seen}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("surface", choices=["decoder", "model", *SURFACES])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--executions", type=int, help="so many, in any time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="make the corpus anew")
    given = parser.parse_args()
    began = time.process_time()
    told: dict[str, Any] = {"surface": given.surface, "seed": given.seed}
    how = Round(given.seconds, given.executions, given.seed)
    try:
        told |= fuzz(given.surface, how, keeps=given.keep)
    except Exception as error:
        told["found"] = f"{type(error).__name__}: {error}"[:300]
        raise
    finally:
        told["cpu_s"] = round(time.process_time() - began, 1)
        told["version"] = replay.__version__
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
