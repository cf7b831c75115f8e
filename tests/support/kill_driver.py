"""Kills batches at each of their steps, and lets the same batch go on.

    python -m support.kill_driver DIRECTORY TRACES

Makes DIRECTORY/whole by an undisturbed batch and DIRECTORY/N by one that is killed
before its Nth step that changes the disk, killed again before another one while it
recovers, and then left alone. Prints how many there are. Each batch is a process of its
own, forked from one that did nothing but import.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import replay.dataset.tasks  # noqa: F401
from replay.dataset import batch
from replay.dataset.journal import Journal
from support.datasets import inline_batches


def batch_of(traces: Path, output: Path, step: int | None) -> bool:
    """Run a batch in a process of its own; return True if it was killed."""
    child = os.fork()
    if not child:
        try:
            if step is not None:
                kill_before(step)
            # every record is a part of the journal of its own
            Journal.tick = Journal.flush  # type: ignore[method-assign]
            batch.batch(
                [traces / "seed-unlimited", traces / "high-alone"],
                [traces / "seed-unlimited.toml"],
                output=output,
            )
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def kill_before(step: int) -> None:
    """Kill this process before its nth step that changes the disk."""
    left = step

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    for name in ("write_bytes", "rename", "replace", "unlink", "mkdir", "open"):
        setattr(Path, name, counted(getattr(Path, name)))
    # a kill loses nothing that the kernel was told, so the disk need not be waited for
    os.fsync = counted(lambda descriptor: None)
    shutil.rmtree = counted(shutil.rmtree)  # type: ignore[assignment]


def main() -> None:
    directory, traces = Path(sys.argv[1]), Path(sys.argv[2])
    with inline_batches():
        assert not batch_of(traces, directory / "whole", None)
        step = 1
        while batch_of(traces, directory / str(step), step):
            batch_of(traces, directory / str(step), 1 + step * 7 % 61)
            assert not batch_of(traces, directory / str(step), None)
            step += 1
    print(step)


main()
