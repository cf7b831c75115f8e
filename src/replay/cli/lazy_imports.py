"""Imports that another processor may do while the work is under way."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from replay.common.processors import processors

Progress = Callable[[int, int], None]


@contextmanager
def importing_meanwhile(
    progress: Progress | None, *modules: str, threads: int | None
) -> Iterator[Progress | None]:
    """Import what is needed at the end in a second thread, once the work has begun.

    Parameters
    ----------
    progress : callable or None
        Told of work done and in all.
    *modules : str
        In their order. What cannot be imported is refused where it is needed.
    threads : int or None
        With fewer than 2 nothing is done; None: as many as there are processors.

    Yields
    ------
    callable or None
        To be told instead of ``progress``.
    """
    if (processors() if threads is None else threads) < 2:
        yield progress
        return

    def work() -> None:
        for module in modules:
            with suppress(ImportError):
                importlib.import_module(module)

    thread = Thread(target=work, daemon=True)

    def told(done: int, total: int) -> None:
        if thread.ident is None:
            thread.start()
        if progress is not None:
            progress(done, total)

    try:
        yield told
    finally:
        if thread.ident is not None:
            thread.join()
