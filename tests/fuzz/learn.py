"""Fuzz one surface: ``python tests/fuzz/learn.py decoder --seconds 600``.

What an input does that none did before is why it is kept, for the next inputs to be
made of: for the decoder edges of its compiled code (`_fuzz.pyx`), for the others what
is said of them. The corpora in ``corpora/SURFACE`` are the start, and ``--keep`` adds
to them. The model's inputs are random setups and rows, with three oracles: the
reference, conservation, and relations that hold whatever is right (`model.py`).
"""

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

TOP: Final = Path(__file__).parents[2]
CORPORA: Final = Path(__file__).with_name("corpora")
sys.path[:0] = [
    str(TOP / "build" / "fuzz"),
    str(TOP / "tests"),
    str(Path(__file__).parent),
]

import _fuzz  # type: ignore[import-not-found]  # noqa: E402
from surfaces import (  # type: ignore[import-not-found]  # noqa: E402
    SURFACES,
    seeds_of,
)

import replay  # noqa: E402
from replay.common.errors import ReplayError  # noqa: E402

#: Executions of the decoder between two looks at the clock.
AT_ONCE: Final = 20_000
#: Inputs that a corpus holds in the repository at most, and bytes of each.
KEPT, KEPT_BYTES = 200, 2_000


def fuzz_decoder(corpus: list[bytes], seconds: float, seed: int) -> tuple[int, int]:
    """Decode for so long; return executions, and edges of the code that were seen."""
    target = _fuzz.DecoderTarget()
    for data in corpus:
        _fuzz.map_reset()
        if failure := target.one(data):
            raise AssertionError(f"{data!r}: {failure}")
        _fuzz.map_news()
    ends = time.monotonic() + seconds
    n_done = 0
    while time.monotonic() < ends:
        seed += 1
        target.run(corpus, AT_ONCE, seed * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
        if target.failure:
            raise AssertionError(f"{target.failed!r}: {target.failure}")
        n_done += AT_ONCE
    return n_done, _fuzz.edges()


def fuzz_surface(
    surface: Callable[[bytes, Path], Any],
    corpus: list[bytes],
    seconds: float,
    seed: int,
) -> tuple[int, int]:
    """Read changed inputs for so long; return executions, and outcomes seen."""
    rng = random.Random(seed)
    seen: set[str] = set()
    ends = time.monotonic() + seconds
    n_done = 0
    queue = list(corpus)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place = Path(folder)
        while queue or time.monotonic() < ends:
            if queue:
                data = queue.pop()
            else:
                base, other = rng.choice(corpus), rng.choice(corpus)
                data = _fuzz.mutated(base, other, rng.getrandbits(64))
            try:
                told = f"good: {surface(data, place)}"
            except ReplayError as error:
                told = str(error)
                assert "\n" not in told, (data, told)
            except BaseException:
                print(f"input: {data!r}", file=sys.stderr)
                raise
            n_done += 1
            # numbers, names and places differ without being another outcome
            outcome = re.sub(r"'[^']*'|\d+|/\S+", "", told)
            if outcome not in seen:
                seen.add(outcome)
                corpus.append(data)
    return n_done, len(seen)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("surface", choices=["decoder", "model", *SURFACES])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="add to the corpus")
    given = parser.parse_args()
    began = time.process_time()
    if given.surface == "model":
        from model import fuzz_model  # type: ignore[import-not-found]

        n_done, n_seen = fuzz_model(given.seconds, given.seed)
    else:
        folder = CORPORA / given.surface
        corpus = seeds_of(given.surface)
        corpus += [path.read_bytes() for path in sorted(folder.glob("*"))]
        n_known = len(corpus)
        if given.surface == "decoder":
            n_done, n_seen = fuzz_decoder(corpus, given.seconds, given.seed)
        else:
            surface = SURFACES[given.surface]
            n_done, n_seen = fuzz_surface(surface, corpus, given.seconds, given.seed)
        if given.keep:
            folder.mkdir(exist_ok=True)
            new = [one for one in corpus[n_known:] if len(one) <= KEPT_BYTES]
            for number, data in enumerate(new[:KEPT]):
                (folder / f"{given.seed}-{number:03}").write_bytes(data)
    took = time.process_time() - began
    print(
        json.dumps(
            {
                "surface": given.surface,
                "executions": n_done,
                "seen": n_seen,
                "cpu_s": round(took, 1),
                "seed": given.seed,
                "version": replay.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
