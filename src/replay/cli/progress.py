"""A progress bar on standard error, only where a person sees it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from replay.common.plain import plain


@contextmanager
def progress_bar(
    title: str, *, quiet: bool = False
) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar while the body runs.

    Parameters
    ----------
    title : str
        What is being done.
    quiet : bool
        Show none.

    Yields
    ------
    callable or None
        To be told of work done and in all; None where no bar is shown.
    """
    stream = sys.stderr
    if quiet or not stream.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    ) as bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def message(text: str, *, quiet: bool = False) -> None:
    """Say something to the person, on standard error."""
    if not quiet:
        # where nobody can read it, the work is done all the same
        with suppress(OSError):
            click.echo(plain(text), err=True)
