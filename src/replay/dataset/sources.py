"""Finds the traces that a batch's inputs name, and the files that each is made of."""

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from replay.capture.saved import BEGIN, END, SCENARIO
from replay.common.addresses import ADDRESS, secret_root, without_secrets
from replay.common.errors import TraceError
from replay.dataset.places import Found, Place
from replay.trace.file.per_cpu import capture_name, is_per_cpu
from replay.trace.inputs.find import CGROUPS_FILE, find_inputs

TRACE_SUFFIX: Final = ".arrow"
#: Ends of an archive's name: of whatever else is one, a pattern is asked for.
ARCHIVES: Final = (".tar", ".tar.zst", ".tar.gz", ".tgz", ".tar.xz", ".zip")
_MAGIC: Final = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTrace:
    """One trace, as a batch is given it.

    Attributes
    ----------
    name : str
        As the user wrote it; the column ``trace``.
    place : Place
        What `replay.convert` would be given, if it lay on this machine.
    """

    name: str
    place: Place

    def files(self) -> list[Found]:
        """Find the files that it is made of.

        Returns
        -------
        list of Found
            A recording's files, and the file ``ids`` of its directory.

        Raises
        ------
        TraceError
            There is none, or not one that makes a trace.
        OSError
        """
        path = self.place.local
        if path is None:
            return _remote_files(self)
        found = find_inputs(path)
        paths = [*found.traces, *([found.cgroups] if found.cgroups else [])]
        files = [Place(str(path)).find() for path in paths]
        return [file for file in files if file is not None]

    def beside(self) -> list[Found]:
        """Find what `replay record` saved beside it, which says what held then.

        Returns
        -------
        list of Found
            Files of ``begin/`` and ``end/`` and the scenario; none of other traces.

        Raises
        ------
        OSError
        """
        place = self.place if self.place.is_directory() else self.place.parent
        saved = [
            file for part in (BEGIN, END) for file in (place / part).files(below=True)
        ]
        scenario = (place / SCENARIO).find() if saved else None
        return [*saved, *([scenario] if scenario else [])]


def find_sources(
    text: str, base: Place | None = None, passed: list[str] | None = None
) -> list[BatchTrace]:
    """Find the traces that an input names.

    Parameters
    ----------
    text : str
        A file, base name or directory, an address of one, or a pattern of them. One
        file of a per-CPU set stands for the set. A directory that holds no recording
        itself stands for all recordings and trace files below it, links followed; if
        there is none, for all archives.
    base : Place or None
        What a relative one begins at; by default the working directory.
    passed : list of str or None
        Takes what is to be said of files that a directory does not stand for.

    Returns
    -------
    list of BatchTrace
        At least one, by name; they are not opened.

    Raises
    ------
    TraceError
        There is none.
    """
    if text == "-":
        raise TraceError("-: a batch does not read standard input: name a file")
    secret = secret_root(text)
    text = without_secrets(text.removeprefix("./").rstrip("/") or text)
    place = _place(text, base, secret)
    if _MAGIC.search(text) and place.find() is None and not place.is_directory():
        names = {
            capture_name(Path(found)) if is_per_cpu(Path(found)) else found
            for found in _matches(text, base, secret)
        }
        if not names:
            raise TraceError(f"{text}: no such file or directory")
    else:
        per_cpu = is_per_cpu(Path(text)) and ADDRESS not in text
        names = {capture_name(Path(text)) if per_cpu else text}
    told: list[str] = [] if passed is None else passed
    found = [one for name in sorted(names) for one in _expand(name, base, secret, told)]
    if base is None and names == {text} and len(found) == 1:
        # what is wrong with a name that was typed can be said at once
        found[0].files()
    return sorted(found, key=lambda source: source.name)


def _place(text: str, base: Place | None, secret: str) -> Place:
    if base is None or ADDRESS in text or text.startswith("/"):
        return replace(Place.of(text), secret=secret)
    return replace(Place.of((base / text).text), secret=base.secret)


def _expand(
    name: str, base: Place | None, secret: str, passed: list[str]
) -> list[BatchTrace]:
    """Let a directory of recordings stand for each of them."""
    place = _place(name, base, secret)
    if not place.is_directory():
        return [BatchTrace(name=name, place=place)]
    if any(is_per_cpu(Path(file.place.name)) for file in place.files()):
        return [BatchTrace(name=name, place=place)]
    inside: dict[str, BatchTrace] = {}
    packed: dict[str, BatchTrace] = {}
    for file in place.files(below=True):
        below = file.place.text[len(place.text) :].strip("/")
        if is_per_cpu(Path(file.place.name)):
            below = below.rpartition("/")[0]
        elif not file.place.name.endswith((TRACE_SUFFIX, *ARCHIVES)):
            continue
        told = f"{name.rstrip('/')}/{below}"
        found = packed if file.place.name.endswith(ARCHIVES) else inside
        found[told] = BatchTrace(name=told, place=place / below)
    if packed and inside:
        passed.append(
            f"{name}: {len(packed):,} archive{'s' * (len(packed) > 1)} passed by, such "
            f"as {next(iter(packed))}: name them by a pattern"
        )
    if not (inside or packed):
        raise TraceError(
            f"{name}: holds no recording (NAME.blktrace.N), trace file "
            f"(*{TRACE_SUFFIX}) or archive (*.tar, *.tar.zst, ...), nor do the "
            "directories below it; name others by a pattern, such as 'dir/*.csv.gz'"
        )
    return list((inside or packed).values())


def _matches(text: str, base: Place | None, secret: str) -> Iterator[str]:
    """Find the files and directories that a pattern names, as it names them."""
    if ADDRESS not in text and (base is None or base.local is not None):
        root_dir = None if base is None else base.local
        yield from glob.iglob(text, root_dir=root_dir, recursive=True)  # noqa: PTH207
        return
    steps = text.split("/")
    fixed = next(n for n, step in enumerate(steps) if _MAGIC.search(step))
    root = "/".join(steps[:fixed])
    start = _place(root, base, secret) if fixed else (base or Place.of("."))
    wanted = steps[fixed:]
    seen: set[str] = set()
    for file in start.files(below=True):
        inside = file.place.text[len(start.text) :].strip("/").split("/")
        # a file stands for the directories that it lies in, too
        for depth in range(1, len(inside) + 1):
            below = "/".join(inside[:depth])
            if below not in seen and _fits(inside[:depth], wanted):
                seen.add(below)
                yield f"{root}/{below}" if fixed else below


def _fits(steps: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return True if a path is of a pattern; ``**`` is any number of directories."""
    if not wanted:
        return not steps
    if wanted[0] == "**":
        return any(_fits(steps[n:], wanted[1:]) for n in range(len(steps) + 1))
    hidden = bool(steps) and steps[0].startswith(".") and not wanted[0].startswith(".")
    return (
        bool(steps)
        and not hidden
        and fnmatchcase(steps[0], wanted[0])
        and _fits(steps[1:], wanted[1:])
    )


def _remote_files(source: BatchTrace) -> list[Found]:
    place = source.place
    if (file := place.find()) is not None:
        return [file]
    if place.is_directory():
        beside = place.files()
        found = [file for file in beside if is_per_cpu(Path(file.place.name))]
        names = [file for file in beside if file.place.name == CGROUPS_FILE]
    else:
        beside, names = place.parent.files(), []
        found = [
            file
            for file in beside
            if is_per_cpu(Path(file.place.name))
            and capture_name(Path(file.place.name)) == place.name
        ]
    if not found:
        raise TraceError(f"{source.name}: no such file, base name or directory")
    return [*found, *names]
