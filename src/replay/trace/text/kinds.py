"""What a text of events is: told by its first lines."""

import re
from dataclasses import dataclass
from typing import Final

from replay.trace.text._blkparse import TextRecords

#: No line is as long.
MAX_LINE: Final = 1 << 16
#: Added to all times while they are records: events may be before the first one that
#: blkparse saw.
BASE_NS: Final = 1 << 53
#: So much of a file tells whether its times are differences.
_PROBED: Final = 1 << 18
#: Times that go back so often are none, if most are below a second.
_SHARE_OF_STEPS_BACK: Final = 1 / 8
#: A line of an event that has no time before it.
_NO_TIME: Final = re.compile(
    rb"^(?![^\n]*\d(?:us.?)?: )[^\n]*\bblock_(?:rq_\w+|bio_\w+|getrq): +\d+,\d+ [A-Z]",
    re.MULTILINE,
)
#: One whose fields are printed by their names.
_FIELDS: Final = re.compile(rb"^[^\n]*\bblock_\w+: +dev=", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class TextKind:
    """The kind of a text.

    Attributes
    ----------
    name : str
        The format's.
    what : str
        What a line should be, for messages.
    steps : bytes
        Of a given format of blkparse's (`compile_format`).
    letter : int
        The action of all its lines, where it has no field for it; else 0.
    kernel : bool
        It is the kernel's trace.
    """

    name: str
    what: str
    steps: bytes = b""
    letter: int = 0
    kernel: bool = False

    def reader(self, base_ns: int = BASE_NS) -> TextRecords:
        """Make what reads its lines."""
        return TextRecords(self.steps, self.kernel, base_ns, self.letter)


BLKPARSE: Final = TextKind(name="blkparse", what="blkparse's default format")
KERNEL: Final = TextKind(
    name="kernel", what="the kernel's trace, as ftrace or perf print it", kernel=True
)


def recognise_text(head: bytes) -> TextKind | None:
    """Tell a text of events by its first lines.

    Parameters
    ----------
    head : bytes
        A file's first bytes.

    Returns
    -------
    Kind or None
        None if most of the lines that are no comments are no events, or none is one.
    """
    for kind in (BLKPARSE, KERNEL):
        counts = _counts_of(kind, head[: head.rfind(b"\n") + 1])
        n_good = counts["events"] + counts["messages"]
        if not kind.kernel and n_good and n_good >= counts["refused"]:
            return kind
        n_other = counts["other"] + counts["no_disk"] + counts["no_time"]
        # other events may come first; a line of a clock's counter is one too
        is_block = n_good or b" block_" in head or b"block:block_" in head
        if kind.kernel and is_block and n_good + n_other > counts["refused"]:
            return kind
    return None


def _counts_of(kind: TextKind, data: bytes) -> dict[str, int]:
    """Say what the whole lines of data are, as lines of a kind."""
    reader = kind.reader()
    offset, records = reader.take(data, 0)
    while records:
        reader.late()
        offset, records = reader.take(data, offset)
    return reader.counts()


def what_lacks(head: bytes) -> str | None:
    """Say why the kernel's trace cannot be read; None if it can, or is none.

    Parameters
    ----------
    head : bytes
        A file's first bytes.
    """
    head = head[:MAX_LINE]
    if _FIELDS.search(head):
        return (
            "is the kernel's trace with the fields of events by their names (trace-cmd "
            "report -R, or ftrace's option fields): print it without"
        )
    if _NO_TIME.search(head):
        return (
            "is the kernel's trace without times that can be read (perf script -F "
            "without time; ftrace with nocontext-info, verbose, or the tracer "
            "function_graph): print it with them"
        )
    return None


def go_back(counts: dict[str, int]) -> bool:
    """Return True if times are none: they start again and again."""
    return (
        counts["steps_back"] > _SHARE_OF_STEPS_BACK * counts["times"]
        and 2 * counts["below_second"] > counts["times"]
    )


def are_differences(data: bytes, kind: TextKind) -> bool:
    """Tell `perf script --deltatime`: each time is that since the line before."""
    if not kind.kernel:
        return False
    counts = _counts_of(kind, data[:_PROBED])
    return bool(counts["begins_at_0"]) and go_back(counts)
