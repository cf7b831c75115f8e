"""Work of the worker processes of a batch: prepare traces, replay pairs.

Everything here runs where the workers are. A trace is ready when it lies somewhere as a
trace file: where it was given, or among the dataset's converted recordings, named by
what they were made of. Workers keep the last traces that they had open.
"""

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
from msgspec.structs import replace as replace_struct
from pyarrow import ipc

from replay.capture.facts import recorded_facts
from replay.common.errors import OutputError, ReplayError, TraceError
from replay.common.temporary import temporary_directory
from replay.common.version import MODEL_VERSION, VERSION
from replay.dataset.beside import Beside, beside_notes
from replay.dataset.places import Found, Place
from replay.dataset.rows import FAILED, OK, State, records
from replay.dataset.sources import BatchTrace
from replay.dataset.stores import missing_keys
from replay.results.result import Result
from replay.results.run_info import identity
from replay.runner.run import run
from replay.scenario.keys.load import Scenario
from replay.trace.convert import convert, open_or_convert
from replay.trace.file.filters import Filters
from replay.trace.file.metadata import Metadata
from replay.trace.file.read import Trace, is_arrow, open_trace
from replay.trace.file.schema import SCHEMA_VERSION, TRACE_SCHEMA
from replay.trace.formats.options import FormatOptions

#: Traces that a worker keeps open.
KEPT_OPEN: Final = 2
_PIECE: Final = 1 << 20
#: A directory for copies, as `replay.common.temporary` calls it.
_COPIED: Final = re.compile(r"/\S*/replay-[0-9a-f]{16}\.tmp(?=/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Options with which inputs become traces, and traces results.

    Attributes
    ----------
    format : FormatOptions or None
    filters : Filters or None
    cgroups : Place or None
        File of "id path" lines.
    interval : str or None
        Length of the timeline's intervals; None makes no timeline.
    requests : bool
        Keep a row for each request.
    sha256 : str
        Of all this, the file's bytes included.
    """

    format: FormatOptions | None
    filters: Filters | None
    cgroups: Place | None
    interval: str | None = None
    requests: bool = False
    sha256: str

    @classmethod
    def of(
        cls,
        format: FormatOptions | None,
        filters: Filters | None,
        cgroups: str | Path | None,
        interval: str | None = None,
        *,
        requests: bool = False,
    ) -> "Conversion":
        """Make one of what the user said.

        Raises
        ------
        TraceError
            The file of cgroups cannot be read.
        """
        place = None if cgroups is None else Place.of(cgroups)
        told = b""
        if place is not None:
            try:
                told = place.read()
            except OSError as error:
                reason = error.strerror or error
                raise TraceError(f"{cgroups}: cannot be read: {reason}") from error
        names = hashlib.sha256(told).hexdigest() if place else None
        said = [
            MODEL_VERSION,
            SCHEMA_VERSION,
            repr(format),
            repr(filters or None),
            names,
        ]
        if interval is not None:
            said.append(interval)
        if requests:
            said.append("requests")
        return cls(
            format=format,
            filters=filters,
            cgroups=place,
            interval=interval,
            requests=requests,
            sha256=identity(said),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """A trace that is to be made ready.

    Attributes
    ----------
    source : BatchTrace
    known : tuple of str
        Stamp of its files and SHA-256 of their bytes, as they were when pairs of it
        were replayed; empty if there are none.
    settled : bool
        Nothing is to be done if it did not change since.
    """

    source: BatchTrace
    known: tuple[str, str] | None
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyTrace:
    """A trace that can be replayed.

    Attributes
    ----------
    name : str
    place : Place
        Of the trace file.
    cgroups : Place or None
        Names that the file itself does not hold.
    origin : str
        Address of the directory that its files were copied from; empty if they were
        read where they lie.
    sha256 : str
        Of what it was made of.
    """

    name: str
    place: Place
    cgroups: Place | None
    origin: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The outcome of a preparation.

    Attributes
    ----------
    stamp, input_sha256 : str
        As in `replay.dataset.rows.State`.
    trace : ReadyTrace or None
        None if there is nothing to do or if it failed.
    facts : mapping
        What the recording says of itself: every scenario begins with that.
    error : str
        Why it failed.
    """

    stamp: str = ""
    input_sha256: str = ""
    trace: ReadyTrace | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareJob:
    """Traces to be made ready, and where converted ones are kept."""

    version: str = VERSION
    items: Sequence[Preparation]
    conversion: Conversion
    traces: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A pair to be replayed; its state says what it was made of.

    ``beside`` is a scenario that the pair does not have, though it may be meant.
    """

    trace: ReadyTrace
    scenario: Scenario
    state: State
    interval: str | None = None
    requests: bool = False
    beside: Beside | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayJob:
    """Pairs to be replayed."""

    version: str = VERSION
    items: Sequence[Item]


def prepare(job: PrepareJob) -> tuple[list[Prepared], float]:
    """Make traces ready.

    Parameters
    ----------
    job : PrepareJob

    Returns
    -------
    tuple of list of Prepared and float
        In the order of the items; seconds that it took.

    Raises
    ------
    OutputError
        There is no room for a converted trace, which ends the batch.
    """
    _check_version(job.version)
    began = time.perf_counter()
    done = []
    for item in job.items:
        try:
            done.append(_prepare(item, job.conversion, job.traces))
        except OutputError:
            raise
        except Exception as error:
            done.append(Prepared(error=_told(error)))
    return done, time.perf_counter() - began


def replay_pairs(job: ReplayJob) -> tuple[bytes, float]:
    """Replay pairs.

    Parameters
    ----------
    job : ReplayJob

    Returns
    -------
    tuple of bytes and float
        A record batch of `replay.dataset.rows.RECORD_SCHEMA`, a row for each pair in
        their order, those that failed too; seconds that it took.
    """
    _check_version(job.version)
    began = time.perf_counter()
    done: list[tuple[State, Result | str]] = []
    for item in job.items:
        try:
            result = run(
                _OPEN.get(item.trace),
                item.scenario,
                interval=item.interval,
                requests=item.requests,
                threads=1,
            )
            if item.beside is not None:
                result.info["notes"] += beside_notes(
                    item.beside, result.info["scenario"]
                )
            done.append((replace(item.state, status=OK), result))
        except Exception as error:
            done.append((replace(item.state, status=FAILED), _told(error)))
    payload = records(done).serialize().to_pybytes()
    return payload, time.perf_counter() - began


def _check_version(version: str) -> None:
    if version != VERSION:
        raise OutputError(
            f"a worker has replay {VERSION}, the batch {version}: install one version"
        )


def _told(error: Exception) -> str:
    """Say in a line why something failed."""
    if isinstance(error, OSError) and not isinstance(error, ReplayError):
        where = f"{error.filename}: " if error.filename else ""
        said = f"{where}cannot be read: {error.strerror or error}"
        return said + missing_keys(said)
    known = isinstance(error, ReplayError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _prepare(item: Preparation, conversion: Conversion, traces: Place) -> Prepared:
    files, beside = item.source.files(), item.source.beside()
    stamp = stamp_of(files, beside)
    known = None
    if item.known is not None and item.known[0] == stamp:
        known = item.known[1]
        if item.settled:
            return Prepared(stamp=stamp, input_sha256=known)
    with _at_hand(item.source, files, beside) as (path, local):
        facts = recorded_facts(path)
        sha256 = known or _hash(local, facts)
        made = Prepared(stamp=stamp, input_sha256=sha256, facts=facts)
        key = identity([sha256, conversion.sha256])
        if len(local) == 1 and is_arrow(local[0]) and not conversion.filters:
            # to say now what is wrong with it, rather than for each scenario
            open_trace(local[0]).close()
            place, cgroups = item.source.place, conversion.cgroups
        else:
            place, cgroups = traces / f"{key}.arrow", None
            _convert(path, place, conversion)
    copied = item.source.place.local is None
    ready = ReadyTrace(
        name=item.source.name,
        place=place,
        cgroups=cgroups,
        origin=files[0].place.parent.text if copied else "",
        sha256=key,
    )
    return replace(made, trace=ready)


def stamp_of(files: Sequence[Found], beside: Sequence[Found] = ()) -> str:
    """Tell the state of files, without reading them; of those beside, in short."""
    stamps = [f"{file.place.name}:{file.stamp}" for file in files]
    if beside:
        stamps.append(identity([[file.place.text, file.stamp] for file in beside]))
    return "|".join(stamps)


def _hash(paths: Sequence[Path], facts: Mapping[str, object]) -> str:
    """Hash what files hold, and their names, which tell CPUs apart; and facts."""
    whole: list[object] = [repr(facts)] if facts else []
    for path in paths:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        whole.append([path.name, digest.hexdigest()])
    return identity(whole)


def _convert(path: Path, target: Place, conversion: Conversion) -> None:
    """Make a trace file, unless it is there already."""
    with _cgroups(conversion.cgroups) as cgroups:
        options = {
            "cgroups": cgroups,
            "format": conversion.format,
            "filters": conversion.filters,
            # the other processors have traces of their own
            "threads": 1,
        }
        if _sound(target):
            return
        if (local := target.local) is not None:
            convert(path, local, overwrite=True, **options).close()  # type: ignore[arg-type]
            return
        with temporary_directory() as directory:
            made = directory.path / target.name
            convert(path, made, **options).close()  # type: ignore[arg-type]
            try:
                target.put(made)
            except OSError as error:
                reason = error.strerror or error
                raise OutputError(f"{target}: cannot be written: {reason}") from error


def _sound(place: Place) -> bool:
    """Return True if a whole trace file lies somewhere.

    Elsewhere its end is looked at, which half a copy does not have.
    """
    if (path := place.local) is not None:
        try:
            open_trace(path).close()
        except TraceError:
            return False
        return True
    if place.find() is None:
        return False
    try:
        with place.opened() as file:
            return bool(ipc.open_file(file).schema.equals(TRACE_SCHEMA))
    except pa.ArrowInvalid:
        return False


@contextmanager
def _at_hand(
    source: BatchTrace, files: Sequence[Found], beside: Sequence[Found]
) -> Iterator[tuple[Path, list[Path]]]:
    """Have a source on this machine: what `convert` takes, and its files.

    What was saved beside them is there, too.
    """
    path = source.place.local
    if path is not None:
        local = [one.place.local for one in files]
        yield path, [one for one in local if one is not None]
        return
    with temporary_directory() as directory:
        copies = []
        for file in files:
            copy = directory.path / file.place.name
            file.place.fetch(copy)
            copies.append(copy)
        whole = source.place.is_directory()
        top = source.place if whole else source.place.parent
        for file in beside:
            # names like any on a store, which none may lead out of the directory
            copy = directory.path / file.place.text[len(top.text) :].strip("/")
            if ".." not in copy.parts:
                copy.parent.mkdir(parents=True, exist_ok=True)
                file.place.fetch(copy)
        here = directory.path if whole else directory.path / source.place.name
        try:
            yield here, copies
        except TraceError as error:
            told = str(error).replace(str(here), source.name)
            raise TraceError(told.replace(str(directory.path), source.name)) from error


@contextmanager
def _cgroups(place: Place | None) -> Iterator[Path | None]:
    """Have the file of cgroups on this machine."""
    if place is None or place.local is not None:
        yield None if place is None else place.local
        return
    with temporary_directory() as directory:
        copy = directory.path / place.name
        place.fetch(copy)
        yield copy


class _OpenTraces:
    """The traces that were replayed last; safe to be asked by several threads.

    One that is let go of is unmapped when nobody replays it any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: OrderedDict[ReadyTrace, Trace] = OrderedDict()

    def get(self, ready: ReadyTrace) -> Trace:
        with self._lock:
            trace = self._traces.get(ready)
            if trace is None:
                trace = _open(ready)
                self._traces[ready] = trace
                if len(self._traces) > KEPT_OPEN:
                    self._traces.popitem(last=False)
            self._traces.move_to_end(ready)
            return trace


def _open(ready: ReadyTrace) -> Trace:
    with _cgroups(ready.cgroups) as cgroups:
        if (path := ready.place.local) is not None:
            trace = open_or_convert(path, cgroups=cgroups)
        else:
            # the file's name goes at once, what it holds when the trace is let go of
            with temporary_directory() as directory:
                copy = directory.path / ready.place.name
                ready.place.fetch(copy)
                trace = open_or_convert(copy, cgroups=cgroups)
    trace.path = Path(ready.name)
    if ready.origin:
        trace.metadata = _named(trace.metadata, ready.origin)
    return trace


def _named(metadata: Metadata, origin: str) -> Metadata:
    """Call files by where they lie, not by where they were copied to."""

    def told(text: str) -> str:
        return _COPIED.sub(origin, text)

    sources = [replace_struct(one, path=told(one.path)) for one in metadata.sources]
    summary = replace_struct(
        metadata.summary, notes=[told(note) for note in metadata.summary.notes]
    )
    return replace_struct(metadata, sources=sources, summary=summary)


_OPEN: Final = _OpenTraces()
