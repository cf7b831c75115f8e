"""Read what blkparse printed.

The text is made into the records that it was printed from, in a temporary file without
a name, and those are decoded like any other: text and binary give the same requests.
What blkparse does not print is not there: the wall clock, the length of passthrough
requests that completed, the sector of a flush.
"""

import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec
import pyarrow as pa

from replay.common.errors import TraceError
from replay.common.temporary import temporary_file
from replay.trace.blktrace._blkparse import TextRecords
from replay.trace.blktrace.batches import BlktraceBatches, Source
from replay.trace.file.metadata import Summary
from replay.trace.inputs.unpack import Unpacked
from replay.trace.rows import RowStream

READ_BYTES: Final = 1 << 22
#: No line of blkparse is as long.
MAX_LINE: Final = 1 << 16

#: The letters of blkparse's -f that are read; any other field is stepped over.
FIELDS: Final = frozenset("aCcdDegmMnNpsStTU")
SKIPPED: Final = frozenset("PuzG")
_BLANKS, _CHARACTER, _FIELD = 1, 2, 3
_NEEDED: Final = (
    ("action", "a"),
    ("flags", "d"),
    ("seconds", "T"),
    ("nanoseconds", "t"),
    ("sector", "S"),
    ("number of blocks or bytes", "nN"),
)


def compile_format(text: str) -> bytes:
    r"""Make steps for the compiled reader of a format string of blkparse's ``-f``.

    Parameters
    ----------
    text : str
        For example ``"%D %2c %8s %5T.%9t %5p %2a %3d %S + %n [%C] %g\n"``.

    Returns
    -------
    bytes
        Pairs of kind and character.

    Raises
    ------
    TraceError
        A field is not known, or one is missing without which there is no request.
    """
    steps: list[tuple[int, str]] = []
    fields = ""
    rest = text.replace("\\n", "\n").replace("\\t", "\t").rstrip()
    while rest:
        character, rest = rest[0], rest[1:]
        if character in " \t":
            steps.append((_BLANKS, " "))
        elif character != "%":
            if not character.isascii() or not character.isprintable():
                raise TraceError(f"--blkparse-format: {character!r} cannot be in it")
            steps.append((_CHARACTER, character))
        else:
            rest = rest.lstrip("-0123456789")
            field, rest = rest[:1], rest[1:]
            if field == "%":
                steps.append((_CHARACTER, "%"))
                continue
            if field not in FIELDS | SKIPPED or not field:
                raise TraceError(
                    f"--blkparse-format: %{field} is no field of blkparse: "
                    f"%{' %'.join(sorted(FIELDS | SKIPPED))}"
                )
            steps.append((_FIELD, field))
            fields += field
    for what, letters in _NEEDED:
        if not set(letters) & set(fields):
            raise TraceError(
                f"--blkparse-format: has no {what} (%{' or %'.join(letters)}): the "
                "requests cannot be made of such text"
            )
    try:
        return bytes(value for kind, one in steps for value in (kind, ord(one)))
    except ValueError as error:
        raise TraceError(f"--blkparse-format: {text!r}: {error}") from error


class BlkparseBatches(RowStream):
    """The requests of blkparse's text, in batches.

    Parameters
    ----------
    paths : sequence of Path
        Files of one capture, merged by time; each may be compressed.
    pattern : str or None
        The format string that blkparse's ``-f`` was given; None: its default format.
    batch_rows : int
        Rows of a batch, at least 1; the last may be shorter.
    on_read : callable or None
        Called while the text is read.

    Raises
    ------
    TraceError
        The format string has not what it needs.

    Notes
    -----
    As `BlktraceBatches`. The records take as much of the temporary directory's file
    system as the text is long; memory does not grow with it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        pattern: str | None = None,
        *,
        batch_rows: int = 1 << 16,
        on_read: Callable[[], None] | None = None,
    ) -> None:
        self._paths = list(paths)
        self._pattern = pattern
        self._steps = b"" if pattern is None else compile_format(pattern)
        self._batch_rows = batch_rows
        self._on_read = on_read
        self._n_read = 0

    @property
    def bytes_read(self) -> int:
        """Bytes of the files, as they lie, that were read in this iteration."""
        return self._n_read

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read from the start."""
        self._summary = None
        self._n_read = 0
        sources, counts = [], []
        for path in self._paths:
            source, counted = self._records(path)
            sources.append(source)
            counts.append(counted)
        rows = BlktraceBatches(sources, batch_rows=self._batch_rows)
        yield from rows
        self._summary = _with_counts(rows.summary, counts)

    def _records(self, path: Path) -> tuple[Source, dict[str, int]]:
        """Make one file's text into records."""
        text = TextRecords(self._steps)
        before = self._n_read
        with Unpacked(path) as file, temporary_file() as records:
            rest = b""
            while data := file.read(READ_BYTES):
                rest = _take(text, rest + data, records)
                self._n_read = before + file.bytes_read
                if len(rest) > MAX_LINE:
                    raise TraceError(
                        f"{path}: byte {self._n_read}: a line of {len(rest)} bytes: "
                        "this is not blkparse's text"
                    )
                if self._on_read is not None:
                    self._on_read()
            records.write(text.finish(rest))
            records.flush()
            counts = text.counts()
            self._check(path, counts)
            # the map keeps the file
            map_ = mmap.mmap(records.fileno(), 0, access=mmap.ACCESS_READ)
        return Source(name=str(path), data=map_), counts

    def _check(self, path: Path, counts: dict[str, int]) -> None:
        """Refuse text that is not, or mostly not, in the format."""
        n_good = counts["events"] + counts["messages"]
        if counts["events"] and n_good >= counts["refused"]:
            return
        what = "the format given" if self._pattern else "blkparse's default format"
        line = counts["first_refused"] or 1
        raise TraceError(
            f"{path}: line {line}: is not in {what} "
            f"({counts['refused']} of {counts['lines']} lines are not)"
        )


def _take(text: TextRecords, data: bytes, records: IO[bytes]) -> bytes:
    """Take all whole lines; return what is left."""
    offset = 0
    while True:
        offset, out = text.take(data, offset)
        if not out:
            return data[offset:]
        records.write(out)


def _with_counts(summary: Summary, counts: Sequence[dict[str, int]]) -> Summary:
    """Put in what the text's reader counted, and take out what it added."""

    def total(name: str) -> int:
        return sum(one[name] for one in counts)

    quality = summary.quality
    # the names stood in the events' lines
    notes = {name: n for name, n in quality.notes.items() if name != "process"}
    quality = msgspec.structs.replace(
        quality,
        records=quality.records - quality.notes.get("process", 0),
        notes=notes,
        refused_bytes=quality.refused_bytes + total("refused_bytes"),
        truncated_bytes=quality.truncated_bytes + total("truncated_bytes"),
        out_of_order=quality.out_of_order + total("out_of_order"),
    )
    return msgspec.structs.replace(summary, quality=quality, format="blkparse")
