"""Requests of a table where issue and completion are rows of their own.

A completion belongs to the earliest issue of its device, sector and operation (or of
its id, where a column has one) that is still open. Rows come as the issues did, as far
as they were done in time; those that never complete hold back others for a while only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.common.errors import TraceError
from replay.common.text import count_text
from replay.trace.formats.base import Reading
from replay.trace.formats.csv_columns import Column
from replay.trace.formats.operations import COMPLETE, EVENT_WORDS, ISSUE, OTHER
from replay.trace.formats.row_dtype import Rows, chosen, joined, new_rows, ordered
from replay.trace.formats.text_table import TextRows

_NAMES: Final = {"issue": ISSUE, "complete": COMPLETE, "skip": OTHER}
#: Requests that are done and wait for an older one.
_MOST_HELD: Final = 1 << 19


def parse_events(text: str) -> dict[str, int]:
    """Parse ``S=issue/E=complete``.

    Parameters
    ----------
    text : str
        Empty: the usual words.

    Returns
    -------
    dict of str to int
        `ISSUE`, `COMPLETE` or `OTHER` by the words in lower case.

    Raises
    ------
    TraceError
        An event is not known.
    """
    if not text:
        return EVENT_WORDS
    found = {}
    for pair in text.split("/"):
        word, _, name = pair.partition("=")
        if name.strip() not in _NAMES:
            raise TraceError(
                f"--columns: event: {name.strip()!r} is not one of {', '.join(_NAMES)}:"
                " say for example event=type:S=issue/E=complete"
            )
        found[word.strip().lower()] = _NAMES[name.strip()]
    return found


class EventPairs:
    """Makes requests of events, file by file.

    Parameters
    ----------
    reading : Reading
        Told of completions without an issue.
    column : Column
        The column that says which event a row is.
    id_source : str or None
        The column of the requests' ids.
    """

    def __init__(
        self, reading: Reading, column: Column, id_source: str | None = None
    ) -> None:
        self._reading = reading
        self._column = column
        self._words = parse_events(column.unit)
        self._id_source = id_source
        self._open = new_rows(0)
        self._open_ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._held = new_rows(0)
        self._n_unmatched = 0

    def kinds(self, part: TextRows) -> NDArray[np.int64]:
        """Say which event each row is."""
        codes, words = part.words(self._column.source)
        table = []
        for code, word in enumerate(words):
            kind = self._words.get(word.strip().lower())
            if kind is None:
                self._reading.refuse(
                    part.first_row + int(np.argmax(codes == code)),
                    f"{self._column.source} is {word[:40]!r}, not an issue or a "
                    "completion: say what words mean, as in "
                    f"event={self._column.source}:S=issue/E=complete/X=skip",
                )
            table.append(kind)
        return np.array(table, np.int64)[codes]

    def ids(self, part: TextRows) -> NDArray[np.int64]:
        """Return the ids of a part's rows; zeros where there are none."""
        if self._id_source is None:
            return np.zeros(len(part), np.int64)
        return part.numbers(self._id_source)

    def take(
        self, rows: Rows, kinds: NDArray[np.int64], ids: NDArray[np.int64]
    ) -> Rows:
        """Take rows in the file's order; return requests that are done.

        Parameters
        ----------
        rows : ndarray of `ROW`
            ``arrival_ns`` is the event's time.
        kinds, ids : ndarray of int64
            Of each row.

        Returns
        -------
        ndarray of `ROW`
            In order of their issue.
        """
        n_open = len(self._open)
        if (kinds == OTHER).any():
            event = kinds != OTHER
            rows, ids, kinds = chosen(rows, event), ids[event], kinds[event]
        rows = joined([self._open, rows])
        ids = np.concatenate((self._open_ids, ids))
        is_end = np.zeros(len(rows), np.bool_)
        is_end[n_open:] = kinds == COMPLETE
        issue, end, unmatched = _paired(self._keys(rows, ids), is_end)
        self._n_unmatched += unmatched
        self._reading.n_skipped += unmatched
        done = rows.take(issue)
        done["response_ns"] = rows["arrival_ns"][end] - done["arrival_ns"]
        if len(done) and done["response_ns"].min() < 0:
            raise TraceError(
                f"{self._reading.path}: a completion is before its issue: order the "
                "rows by time"
            )
        still = ~is_end
        still[issue] = False
        self._open, self._open_ids = chosen(rows, still), ids[still]
        return self._ready(done)

    def finish(self) -> Rows:
        """Return what is left: those held back, and those that never completed."""
        rows = joined([self._held, self._open])
        if self._n_unmatched:
            self._reading.notes.append(
                f"{count_text(self._n_unmatched, 'completion')} without an issue "
                "left out."
            )
        return ordered(rows)

    def _keys(self, rows: Rows, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give each row its request's number: by id, else by place and operation."""
        columns = [rows["device"].astype(np.int64)]
        if self._id_source is not None:
            columns.append(ids)
        else:
            columns += [rows["sector"].view(np.int64), rows["op"].astype(np.int64)]
        order = np.lexsort(columns)
        new = np.zeros(len(rows), np.bool_)
        for values in columns:
            there = values[order]
            new[1:] |= there[1:] != there[:-1]
        keys = np.empty(len(rows), np.int64)
        keys[order] = np.cumsum(new)
        return keys

    def _ready(self, done: Rows) -> Rows:
        """Return the requests that no open one can come before any more."""
        held = ordered(joined([self._held, done]))
        until = len(held)
        if len(self._open) and until < _MOST_HELD:
            oldest = self._open["arrival_ns"].min()
            until = int(np.searchsorted(held["arrival_ns"], oldest, side="right"))
        self._held = held[until:]
        return held[:until]


def _paired(
    keys: NDArray[np.int64], is_end: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Find for each completion the earliest open issue of its key.

    Returns
    -------
    issue, end : ndarray of int64
        Places of the pairs.
    n_unmatched : int
        Completions without an issue.
    """
    order = np.argsort(keys, kind="stable")
    keys, is_end = keys[order], is_end[order]
    begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else order
    group = np.zeros(len(keys), np.int64)
    group[begins] = 1
    group = np.cumsum(group) - 1
    # how many more completions than issues there were of the key until here
    balance = np.cumsum(np.where(is_end, 1, -1))
    balance -= (balance[begins] - np.where(is_end[begins], 1, -1))[group]
    # one without an issue is where that gets larger than ever
    width = len(keys) + 2
    most = np.maximum.accumulate(np.maximum(balance, 0) + group * width) - group * width
    before = np.zeros_like(most)
    before[1:] = most[:-1]
    before[begins] = 0
    lost = is_end & (most > before)
    issues, ends = np.flatnonzero(~is_end), np.flatnonzero(is_end & ~lost)
    # the k-th completion of a key is the k-th issue's
    n_ends = np.bincount(group[ends], minlength=len(begins))
    first = np.zeros(len(begins), np.int64)
    n_issues = np.bincount(group[issues], minlength=len(begins))
    first[1:] = np.cumsum(n_issues)[:-1]
    rank = np.arange(len(issues)) - first[group[issues]]
    done = issues[rank < n_ends[group[issues]]]
    return order[done], order[ends], int(np.count_nonzero(lost))
