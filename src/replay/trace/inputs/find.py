"""Find the files that a user means, and map them.

A capture is a set of per-CPU files ``NAME.blktrace.0 … N``. A user names it by its base
name (``dir/loop0``), by one of its files, or by the directory that holds it, which may
hold several devices. CPUs may be missing in the middle and files may be empty.
"""

import mmap
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from replay.common._mapped import Watched
from replay.common.bounded import LIST_BYTES, check_within, read_bounded
from replay.common.errors import TraceError
from replay.common.huge import say_huge
from replay.common.text import size_text
from replay.trace.file.metadata import SourceFile
from replay.trace.file.per_cpu import EVENTS_FILE, PER_CPU, is_per_cpu
from replay.trace.inputs.spool import Spool, is_stdin

#: The lab writes its "id path" lines beside the traces under this name.
CGROUPS_FILE: Final = "ids"
#: `replay record` and the lab write there what kernel was recorded.
KERNEL_FILE: Final = "kernel"
#: Longer lines are none of ``uname``.
_MAX_KERNEL: Final = 400
MAX_CGROUP_ID: Final = (1 << 64) - 1

#: A line of a file of cgroups as the kernel's tree gives it: nothing to strip or skip.
_ID_AND_PATH: Final = re.compile(r"^([0-9]{1,20}) (/\S*)$", re.MULTILINE)
_SHOWN = 5
#: A sparse file of more bytes is said to take long.
_HUGE_BYTES: Final = 1 << 34


class Inputs(Struct, frozen=True, kw_only=True):
    """The files to read.

    Attributes
    ----------
    traces : tuple of Path
        Trace files, by device name, then CPU; each once.
    cgroups : Path or None
        File of "id path" lines.
    kernel : str or None
        What the recorded machine called its kernel; None where no file says it, or
        where several say different things.
    """

    traces: tuple[Path, ...]
    cgroups: Path | None
    kernel: str | None = None


def find_inputs(
    inputs: str | Path | Sequence[str | Path],
    cgroups: str | Path | None = None,
    spool: Spool | None = None,
) -> Inputs:
    """Find the files that the inputs name.

    Parameters
    ----------
    inputs : path or sequence of paths
        Each a file, a base name or a directory; with a spool ``-``, pipes and archives
        too.
    cgroups : path or None
        File of "id path" lines; without it the file ``ids`` of an input directory or
        archive is taken, if there is one.
    spool : Spool or None
        Where standard input, pipes and members of archives are put; they stay until it
        is closed.

    Returns
    -------
    Inputs
        At least one trace file.

    Raises
    ------
    TraceError
        An input does not exist, holds no trace, or is of no use; near names are listed.
    """
    names = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if not names:
        raise TraceError("no input: name a file, a base name or a directory")
    traces: dict[Path, Path] = {}
    beside: list[Path] = []
    kernels: list[Path] = []
    for name in names:
        found = _find_traces(name, spool)
        if Path(name).is_dir():
            beside.append(Path(name) / CGROUPS_FILE)
        kernels += {
            path.parent / KERNEL_FILE
            for path in found
            if is_per_cpu(path) or path.name == EVENTS_FILE
        }
        members = spool and len(found) == 1 and spool.members(found[0])
        if members:
            beside += [path for path in members if path.name == CGROUPS_FILE]
            kernels += [path for path in members if path.name == KERNEL_FILE]
            found = [path for path in members if is_per_cpu(path)] or [
                path for path in members if path.name != CGROUPS_FILE
            ]
            if not found:
                raise TraceError(
                    f"{name}: holds no trace: there is only {CGROUPS_FILE!r} in it"
                )
        _check_twice(found, spool)
        for path in found:
            traces.setdefault(path.resolve(), path)
    return Inputs(
        traces=tuple(traces.values()),
        cgroups=_find_cgroups(beside, cgroups),
        kernel=_read_kernel(kernels),
    )


@contextmanager
def opened_inputs(
    inputs: str | Path | Sequence[str | Path], cgroups: str | Path | None = None
) -> Iterator[tuple[Inputs, Spool]]:
    """Find the inputs, and keep what had to be put on disk for it.

    Parameters
    ----------
    inputs, cgroups
        As for `find_inputs`.

    Yields
    ------
    tuple of Inputs and Spool
        What is refused meanwhile is called by its own name.
    """
    with Spool() as spool:
        try:
            yield find_inputs(inputs, cgroups, spool), spool
        except TraceError as error:
            raise TraceError(spool.told(str(error))) from error


def source_file(path: Path, spool: Spool, role: str = "trace") -> SourceFile:
    """Describe an input for the metadata.

    Raises
    ------
    TraceError
        It cannot be read.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _cannot_read(path, error) from error
    return SourceFile(path=spool.shown(path), nbytes=size, role=role)


def _check_twice(paths: Iterable[Path], spool: Spool | None) -> None:
    """Refuse a CPU's file that is there both compressed and not."""
    seen: dict[tuple[str, str], Path] = {}
    for path in paths:
        if match := PER_CPU.fullmatch(str(path)):
            other = seen.setdefault((match["name"], match["cpu"]), path)
            if other is not path:
                a, b = (spool.shown(one) if spool else one for one in (other, path))
                raise TraceError(f"{a} and {b}: the same CPU twice: move one away")


class MappedFile(mmap.mmap):
    """A file in memory that may be cut short meanwhile: what is gone reads as zeros."""

    watched: Watched

    @property
    def is_whole(self) -> bool:
        """Whether the file still has all that is mapped."""
        return not self.watched.cut and self.size() >= len(self)


def map_file(path: Path) -> MappedFile | bytes:
    """Map a file for reading from its beginning to its end.

    Parameters
    ----------
    path : Path
        A regular file; may be empty.

    Returns
    -------
    MappedFile or bytes
        Read-only buffer; unmapped when its last user lets go of it.

    Raises
    ------
    TraceError
        The file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            told = os.fstat(file.fileno())
            # nothing can be mapped of an empty file
            if told.st_size == 0:
                return b""
            if told.st_size > _HUGE_BYTES and told.st_blocks * 512 < told.st_size // 2:
                say_huge(
                    f"{path}: has {size_text(told.st_size)}, of which "
                    f"{size_text(told.st_blocks * 512)} lie on the disk: the holes are "
                    "read through, which takes minutes"
                )
            data = MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ)
            data.watched = Watched(data)
    except OSError as error:
        raise _cannot_read(path, error) from error
    data.madvise(mmap.MADV_SEQUENTIAL)
    return data


def read_cgroup_paths(path: str | Path) -> dict[int, str]:
    """Read a file of "id path" lines.

    Parameters
    ----------
    path : str or Path
        Blank lines and lines that begin with ``#`` are skipped.

    Returns
    -------
    dict
        Cgroup id to path; a path begins with ``/``.

    Raises
    ------
    TraceError
        The file cannot be read, or a line is not valid or contradicts another.
    """
    paths: dict[int, str] = {}
    try:
        # a path may be any bytes but must be text in the trace file's JSON
        text = read_bounded(path, LIST_BYTES).decode("utf-8", "backslashreplace")
    except OSError as error:
        raise _cannot_read(path, error) from error
    lines = text.split("\n")
    if len(plain := _ID_AND_PATH.findall(text)) == len(lines) - (not lines[-1]):
        # there may be 100,000, all of them as they should be
        paths = {int(identity): name for identity, name in plain}
        if len(paths) == len(plain) and max(paths, default=0) <= MAX_CGROUP_ID:
            return paths
        paths = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        identity, _, name = line.strip().partition(" ")
        name = name.strip()
        if not (
            identity.isascii()
            and identity.isdecimal()
            and len(identity) <= 20
            and int(identity) <= MAX_CGROUP_ID
            and name.startswith("/")
        ):
            raise TraceError(
                f"{path}: line {number}: {line.strip()[:80]!r} is not 'ID /PATH': "
                "each line holds a cgroup's id and its path"
            )
        if paths.setdefault(int(identity), name) != name:
            raise TraceError(
                f"{path}: line {number}: id {identity} is {name!r} here and "
                f"{paths[int(identity)]!r} before: keep one"
            )
    return paths


def _find_traces(name: str | Path, spool: Spool | None) -> list[Path]:
    """Find the trace files that one input means."""
    path = Path(name)
    try:
        if is_stdin(name):
            if spool is None:
                raise TraceError(f"{name}: no stream can be read here: name a file")
            return [spool.stdin()]
        if spool is not None and path.is_fifo():
            return [spool.pipe(path)]
        if path.is_dir():
            return _find_in_directory(path)
        if path.exists() and not path.is_file():
            raise TraceError(f"{name}: is neither a file nor a directory")
        if path.is_file():
            return [path]
        base = path.name.removesuffix(".blktrace")
        found = _per_cpu_files(path.parent, base) if path.parent.is_dir() else []
    except OSError as error:
        raise _cannot_read(name, error) from error
    if not found:
        raise TraceError(f"{name}: no such file, base name or directory{_near(path)}")
    return found


def _find_in_directory(directory: Path) -> list[Path]:
    found = _per_cpu_files(directory)
    if not found and (directory / EVENTS_FILE).is_file():
        check_within(directory / EVENTS_FILE, directory)
        found = [directory / EVENTS_FILE]
    if not found:
        below = sorted(
            str(child)
            for child in directory.iterdir()
            if child.is_dir() and _per_cpu_files(child)
        )
        hint = f": did you mean {_some(below)}?" if below else ""
        raise TraceError(
            f"{directory}: holds no trace: there is no NAME.blktrace.N in it{hint}"
        )
    return found


def _per_cpu_files(directory: Path, base: str | None = None) -> list[Path]:
    """List a directory's per-CPU files, of one base name or of all."""
    found = []
    for path in directory.iterdir():
        match = PER_CPU.fullmatch(path.name)
        if match and base in (None, match["name"]) and path.is_file():
            if base is None:
                check_within(path, directory)
            found.append((match["name"], int(match["cpu"]), path.name, path))
    return [path for *_, path in sorted(found)]


def _find_cgroups(beside: Sequence[Path], cgroups: str | Path | None) -> Path | None:
    if cgroups is not None:
        return Path(cgroups)
    found = [path for path in beside if path.is_file()]
    if len(found) > 1:
        raise TraceError(
            f"{found[0]} and {found[1]}: two files of cgroup ids: name one by --cgroups"
        )
    return found[0] if found else None


def _read_kernel(files: Iterable[Path]) -> str | None:
    """Read what files say of the kernel; None if they do not agree."""
    said = set()
    for path in files:
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_KERNEL).decode("utf-8", "replace").strip()
        except OSError:
            continue
        said |= {text} if text else set()
    return said.pop() if len(said) == 1 else None


def _near(path: Path) -> str:
    """Say which names lie near one that does not exist."""
    import difflib

    if path.is_symlink():
        return ": it is a symbolic link to nothing"
    while not path.parent.is_dir():
        path = path.parent
    try:
        found = (child.name for child in path.parent.iterdir())
        names = {name for name in found if not name.endswith(".toml")}
    except OSError:
        return ""
    sets = {match["name"] for name in names if (match := PER_CPU.fullmatch(name))}
    near = difflib.get_close_matches(path.name, sorted(names | sets))
    if near:
        return f": did you mean {_some([str(path.parent / name) for name in near])}?"
    return f": {path.parent} holds {_some(sorted(sets))}" if sets else ""


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _cannot_read(path: str | Path, error: OSError) -> TraceError:
    return TraceError(f"{path}: cannot be read: {error.strerror or error}")
