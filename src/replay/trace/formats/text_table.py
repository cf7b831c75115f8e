"""Read text with a fixed number of columns, through `pyarrow.csv`, as a stream."""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from replay.common.errors import TraceError
from replay.trace.formats._columns import parse_times
from replay.trace.formats.base import Reading

if TYPE_CHECKING:
    from concurrent.futures import Executor

BLOCK_BYTES: Final = 1 << 22

#: Column types. A number of seconds with a fraction is read as exact ns.
INTEGER: Final = pa.int64()
SECONDS: Final = pa.decimal128(38, 9)
MILLISECONDS: Final = pa.decimal128(38, 6)
MICROSECONDS: Final = pa.decimal128(38, 3)
WORD: Final = pa.dictionary(pa.int32(), pa.string())
#: A column whose times are read by `TextRows.times`.
TEXT: Final = pa.string()

_ROW = re.compile(r"Row #(\d+): ?")
_COLUMN = re.compile(r"In CSV column #(\d+): ?")
#: How pyarrow tells of a word where a number belongs.
_NO_NUMBER = re.compile(
    r"(?:CSV conversion error to \w+(?:\([\d, ]+\))?: invalid value"
    r"|(?:CSV conversion error to [^:]*: )?The string) ('.*')"
    r"(?: is not a valid decimal\d* number| cannot be represented as decimal\d*)?"
)
_FRACTION = re.compile(r"'[+-]?\d+\.\d*'")
_NUMBERLIKE = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_MOMENT = re.compile(r"\d{4}[-/]\d\d?[-/]\d|\d+:\d\d")
_DATE = re.compile(r"'\d{4}-\d\d-\d\d")
#: How it tells of more digits than a unit has, before and behind the point.
_FINER: Final = "Rescaling Decimal value would cause data loss"
_TOO_LONG = re.compile(
    r"Error converting '(.*)' to decimal\d*\([\d, ]+\): precision not supported"
)
_BLANKS = re.compile(rb"[ \t]+")
_AT_LINE = re.compile(rb"(?m)^ | \r?$")
_QUOTED = re.compile(rb'("[^"\r\n]*")')


class _Feed:
    """A file's bytes as pyarrow wants them: valid UTF-8, each block prepared.

    A process's name may be any bytes. Those that are no UTF-8 are shown by numbers, as
    in blktrace's names; pyarrow complains of them on standard error at times.
    """

    closed = False

    def __init__(self, reading: Reading, prepare: Callable[[bytes], bytes] | None):
        self._file = reading.file
        self._prepare = prepare
        self._rest = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def read(self, n_bytes: int) -> bytes:
        """Read on; lines are prepared whole."""
        return self._in_utf8(self._lines(n_bytes))

    def _in_utf8(self, data: bytes) -> bytes:
        """Escape what is no UTF-8; a character may lie on a block's border."""
        if data.isascii() and data and not self._decoder.getstate()[0]:
            return data
        text = self._decoder.decode(data, final=not data).encode()
        # nothing would mean the end
        return text or (self._in_utf8(self._lines(BLOCK_BYTES)) if data else b"")

    def _lines(self, n_bytes: int) -> bytes:
        data = self._file.read(n_bytes)
        if self._prepare is None or not (data or self._rest):
            return data
        while True:
            cut = data.rfind(b"\n") + 1 if len(data) == n_bytes else len(data)
            lines, rest = self._rest + data[:cut], data[cut:]
            if cut:
                self._rest = rest
                if prepared := self._prepare(lines):
                    return prepared
            elif len(self._rest) + len(data) > BLOCK_BYTES:
                raise TraceError(f"{self._file.path}: a line of {BLOCK_BYTES} bytes")
            else:
                self._rest += data
            data = self._file.read(n_bytes)
            if not (data or self._rest):
                return b""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it cannot be sought."""
        return False

    def writable(self) -> bool:
        """Tell that it cannot be written."""
        return False

    def close(self) -> None:
        """Leave the file open: it is another's."""


@dataclass(frozen=True)
class TextRows:
    """Some rows: the number of the first, counted from 1, and their columns."""

    reading: Reading
    first_row: int
    batch: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def numbers(self, name: str, *, blank: int | None = None) -> NDArray[np.int64]:
        """Return a column's integers, or its times in ns.

        Parameters
        ----------
        name : str
        blank : int or None
            What stands for a blank field; None refuses it.

        Returns
        -------
        ndarray of int64, shape (n_rows,)

        Raises
        ------
        TraceError
            A field is blank, or beyond 64 bits.
        """
        column = self.batch.column(name)
        missing = None
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            if blank is None:
                self.reading.require(self.first_row, ~missing, f"{name} is blank")
        # the values lie in the last buffer, whatever stands at the nulls
        words = np.frombuffer(column.buffers()[1], np.int64)
        if pa.types.is_decimal(column.type):
            words = words[2 * column.offset : 2 * (column.offset + len(self))]
            values, high = words[::2], words[1::2]
            good = high == values >> 63
            if missing is not None:
                good |= missing
            self.reading.require(self.first_row, good, f"{name} is too large")
        else:
            values = words[column.offset : column.offset + len(self)]
        if missing is not None and blank is not None:
            values = np.where(missing, blank, values)
        return values

    def times(
        self, name: str, scale: int, *, dated: bool = False
    ) -> tuple[NDArray[np.int64], int]:
        """Return a column's times in ns, whatever they are written like.

        Parameters
        ----------
        name : str
            Of a column of `TEXT`.
        scale : int
            ns of a number's unit.
        dated : bool
            They are dates or times of day, else numbers.

        Returns
        -------
        values : ndarray of int64, shape (n_rows,)
            ``_columns.BLANK`` where nothing stands.
        kinds : int
            Bits ``NUMBER``, ``CLOCK`` and ``DATE`` of `_columns`.

        Raises
        ------
        TraceError
            A field is no time.
        """
        column = self.batch.column(name)
        values = np.empty(len(self), np.int64)
        _, offsets, data = column.buffers()
        bad, kinds = parse_times(
            data, offsets, column.offset, len(self), scale, dated, values
        )
        if bad >= 0:
            word = column[bad].as_py().strip()
            if dated:
                text = "is no date and no time of day, such as 2026-01-31 17:58:57.114"
            elif _NUMBERLIKE.fullmatch(word):
                text = "is too large"
            else:
                text = "is no number"
                if _MOMENT.match(word):
                    text += ": say that it is a date or a time of day, by the unit date"
            self.reading.refuse(self.first_row + bad, f"{name}: {word[:60]!r} {text}")
        return values, kinds

    def words(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """Return a column of words as codes, and the words; blanks are words too.

        Parameters
        ----------
        name : str

        Returns
        -------
        codes : ndarray of int32, shape (n_rows,)
        words : list of str
            Without blanks around them.
        """
        column = self.batch.column(name)
        codes = column.indices.to_numpy(zero_copy_only=True)
        return codes, [str(word).strip() for word in column.dictionary.to_pylist()]

    def mapped(self, name: str, number: Callable[[str], int]) -> NDArray[np.int64]:
        """Return a number for each word of a column.

        Parameters
        ----------
        name : str
        number : callable
            Gives a word's number; asked once a word.

        Returns
        -------
        ndarray of int64, shape (n_rows,)
        """
        codes, words = self.words(name)
        return np.array([number(word) for word in words], np.int64)[codes]

    def choice(
        self,
        name: str,
        values: Mapping[str, int],
        *,
        blank: int | None = None,
        hint: str = "",
    ) -> NDArray[np.int64]:
        """Return the value of each word of a column; there is no other word.

        Parameters
        ----------
        name : str
        values : mapping
            By the word in lower case.
        blank : int or None
            Value of a blank field; None refuses it.
        hint : str
            What to do about another word, behind what is wrong.

        Returns
        -------
        ndarray of int64, shape (n_rows,)

        Raises
        ------
        TraceError
            Another word stands in a row.
        """
        codes, words = self.words(name)
        known = dict(values) if blank is None else {"": blank, **values}
        numbers = []
        for code, word in enumerate(words):
            number = known.get(word.lower())
            if number is None:
                row = self.first_row + int(np.argmax(codes == code))
                names = ", ".join(repr(one) for one in known)
                self.reading.refuse(row, f"{name} is {word[:40]!r}, not {names}{hint}")
            numbers.append(number)
        return np.array(numbers, np.int64)[codes]


def read_table(
    reading: Reading,
    columns: Mapping[str, pa.DataType | None],
    *,
    delimiter: str = ",",
    skip_lines: int = 0,
    comment_column: Callable[[str], bool] | None = None,
    prepare: Callable[[bytes], bytes] | None = None,
    quote: str | Literal[False] = False,
    finer: str = "round it",
) -> Iterator[TextRows]:
    """Read a file's rows.

    Parameters
    ----------
    reading : Reading
    columns : mapping
        Every column by name, in order; None: not needed.
    delimiter : str
        One character.
    skip_lines : int
        Lines before the first row; they are counted in the rows' numbers.
    comment_column : callable or None
        Tells of a line with another number of columns whether it may be left out.
    prepare : callable or None
        Changes whole lines before they are split.
    quote : str or False
        Character around a field that holds delimiters.
    finer : str
        What to do about a time with digits below a nanosecond.

    Yields
    ------
    TextRows
        Not empty.

    Raises
    ------
    TraceError
        A row has another number of columns, or a field is not what it should be: with
        the row's number.
    """
    first_row = skip_lines + 1
    names: Sequence[str] = list(columns)

    def unfit(row: csv.InvalidRow) -> str:
        if comment_column is not None and comment_column(row.text):
            return "skip"
        return "error"

    try:
        reader = csv.open_csv(
            pa.PythonFile(_Feed(reading, prepare), "r"),
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK_BYTES,
                column_names=names,
                skip_rows=skip_lines,
            ),
            parse_options=csv.ParseOptions(
                delimiter=delimiter, quote_char=quote, invalid_row_handler=unfit
            ),
            convert_options=csv.ConvertOptions(
                column_types={n: t for n, t in columns.items() if t is not None},
                include_columns=[n for n, t in columns.items() if t is not None],
                strings_can_be_null=False,
                null_values=[""],
            ),
        )
        for batch in _ahead(reader, reading.pool):
            if batch.num_rows:
                yield TextRows(reading, first_row, batch)
                first_row += batch.num_rows
    except pa.ArrowInvalid as error:
        raise _refusal(reading, str(error), columns, finer) from error


def _ahead(
    reader: csv.CSVStreamingReader, pool: "Executor | None"
) -> Iterator[pa.RecordBatch]:
    """Split the next block into columns while rows are made of the one before."""
    if pool is None:
        yield from reader
        return
    coming = pool.submit(next, reader, None)
    while (batch := coming.result()) is not None:
        coming = pool.submit(next, reader, None)
        yield batch


def one_blank(lines: bytes) -> bytes:
    """Make columns that stand under each other ones with a single blank between.

    Blanks in quotes stay.
    """
    parts = _QUOTED.split(lines) if b'"' in lines else [lines]
    # every other one is quoted
    parts[::2] = [_BLANKS.sub(b" ", part) for part in parts[::2]]
    return _AT_LINE.sub(b"", b"".join(parts))


def blanks_vary(head: bytes) -> bool:
    """Return True if columns are separated by more than single blanks."""
    return any(two in head for two in (b"  ", b"\t", b"\n ", b" \n", b" \r"))


def _refusal(
    reading: Reading,
    message: str,
    columns: Mapping[str, pa.DataType | None],
    finer: str,
) -> TraceError:
    """Say what pyarrow found wrong, with row and column, in one line."""
    row = match[1] if (match := _ROW.search(message)) else None
    text = _ROW.sub("", message)
    name, type_ = "", None
    if match := _COLUMN.search(text):
        text = _COLUMN.sub("", text)
        # the columns that are not needed are counted too
        name, type_ = list(columns.items())[int(match[1])]
    text = " ".join(text.removeprefix("CSV parse error: ").split())
    if match := _NO_NUMBER.match(text):
        whole = "whole " if type_ == INTEGER and _FRACTION.fullmatch(match[1]) else ""
        dated = ": a time is a number, such as seconds since 1970"
        is_date = type_ != INTEGER and _DATE.match(match[1])
        text = f"{match[1]} is no {whole}number{dated if is_date else ''}"
    elif _FINER in text and type_ is not None:
        text = (
            f"more than {type_.scale} digits behind the point, which is less than "
            f"1 ns: {finer}"
        )
    elif match := _TOO_LONG.match(text):
        text = f"'{match[1]}' is too large"
    where = f"row {row}: " if row else ""
    column = f"{name}: " if name else ""
    return TraceError(f"{reading.path}: {where}{column}{text[:300]}")
