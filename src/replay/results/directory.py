"""The directory of a result: it appears when all of it is there, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from replay.common.errors import OutputError
from replay.common.leftovers import Claim, claimed, is_held
from replay.common.output import exchange, place_of, sync
from replay.results.schema import RUN_FILE, TABLES

_OUR_FILES: Final = frozenset([RUN_FILE, *(spec.file for spec in TABLES.values())])


@contextmanager
def named(output: Path) -> Iterator[None]:
    """Turn a failure to write into one line that names the output."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise OutputError(f"{output}: cannot be written: {reason}") from error


def _remove(path: Path) -> None:
    """Remove a directory with all that is in it, if it is there, as far as possible."""
    if path.exists():
        import shutil

        shutil.rmtree(path, ignore_errors=True)


class OutputDirectory:
    """A directory that appears when all of it is there.

    A context manager: inside it, `path` is a new directory beside ``target``; `commit`
    renames it into place. Left without a commit, whatever the reason, it is removed
    and ``target`` is as it was.

    Parameters
    ----------
    target : Path
        Its parent must exist.
    overwrite : bool
        Replace the result that is there. Only a result is ever replaced: a directory
        that holds anything else is refused.

    Raises
    ------
    OutputError
        ``target`` exists, is no result, or cannot be written.
    """

    def __init__(self, target: Path, *, overwrite: bool = False) -> None:
        self.target = target
        # what a symbolic link points to is replaced, not the link
        self._place = place_of(target)
        self._overwrite = overwrite
        self._claim: Claim | None = None

    def check(self) -> None:
        """Refuse a target that may not be written, before any work is done.

        Raises
        ------
        OutputError
            As when it is entered.
        """
        with named(self.target):
            self._check()

    def __enter__(self) -> Self:
        with named(self.target):
            self._check()
            self._recover()
            self._claim = claimed(self._place.parent, "partial")
        return self

    @property
    def path(self) -> Path:
        """The directory to write to; inside the context manager alone."""
        assert self._claim is not None, "the directory was not entered"
        return self._claim.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._claim is not None:
            self._claim.remove()

    def commit(self) -> None:
        """Put the directory in its place.

        Raises
        ------
        OutputError
            Something has appeared at ``target`` meanwhile, or it cannot be renamed.
        """
        with named(self.target):
            for file in self.path.iterdir():
                sync(file)
            sync(self.path)
            self._check()
            if not self._place.exists():
                self.path.rename(self._place)
            elif not exchange(self.path, self._place):
                self._replace()
            sync(self._place.parent)

    def _replace(self) -> None:
        """Rename the old one, then the new one: two of one place cannot change it."""
        old = self._place.with_name(f".{self._place.name}.{os.urandom(4).hex()}.old")
        try:
            self._place.rename(old)
            self.path.rename(self._place)
        finally:
            # also when Ctrl-C came between the two
            if old.exists() and not self._place.exists():
                old.rename(self._place)
            _remove(old)

    def _recover(self) -> None:
        """Finish or undo what a run was at that was killed in `_replace`."""
        for old in self._place.parent.glob(f".{escape(self._place.name)}.*.old"):
            if len(old.name) != len(self._place.name) + 14 or is_held(old):
                continue
            if self._place.exists():
                _remove(old)
            else:
                old.rename(self._place)
                self._check()

    def _check(self) -> None:
        """Refuse a target that may not be written, before any work is done."""
        shown = self.target
        if not self._place.exists():
            if not self._place.parent.is_dir():
                raise OutputError(
                    f"{shown}: there is no directory {self._place.parent}: make it"
                )
            return
        if not self._place.is_dir():
            raise OutputError(f"{shown}: is not a directory: name another output")
        if not self._overwrite:
            raise OutputError(
                f"{shown}: exists already: use --overwrite or name another output"
            )
        found = {path.name for path in self._place.iterdir()}
        strange = sorted(found - _OUR_FILES)
        if strange or (found and RUN_FILE not in found):
            what = f"holds {strange[0]!r}" if strange else f"has no {RUN_FILE}"
            raise OutputError(
                f"{shown}: is not a result alone ({what}), so it is not overwritten: "
                "name another output"
            )
