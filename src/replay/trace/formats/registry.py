"""All formats by name, and which one a file is.

A new format is one file beside this one and one row in `FORMATS`. Two are read by the
decoder of blktrace's records and not row by row: blktrace itself, and events as text.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from replay.common.errors import TraceError
from replay.trace.file.per_cpu import is_per_cpu
from replay.trace.formats import (
    alibaba,
    biosnoop,
    blkreplay,
    disksim,
    fio,
    fio_latency,
    fiu,
    msr,
    spc,
    systor,
    tencent,
    thesios,
    user_csv,
    vscsi,
)
from replay.trace.formats.base import Format, complete_lines
from replay.trace.formats.csv_columns import DELIMITERS, NUMBERED
from replay.trace.formats.guess import read_sample, suggest_columns
from replay.trace.formats.magic import BLKTRACE, is_blktrace
from replay.trace.formats.options import FormatOptions
from replay.trace.formats.refused import refused
from replay.trace.inputs.unpack import read_head
from replay.trace.text.kinds import BLKPARSE as BLKPARSE_KIND
from replay.trace.text.kinds import KERNEL as KERNEL_KIND
from replay.trace.text.kinds import recognise_text

#: Read row by row; in the order in which documents list them.
FORMATS: Final = (
    msr.FORMAT,
    alibaba.FORMAT,
    tencent.FORMAT,
    systor.FORMAT,
    fiu.FORMAT,
    vscsi.FORMAT,
    disksim.DISKSIM,
    disksim.MQSIM,
    blkreplay.FORMAT,
    fio.FORMAT,
    fio_latency.FORMAT,
    spc.FORMAT,
    thesios.FORMAT,
    biosnoop.FORMAT,
    user_csv.FORMAT,
)
BY_NAME: Final = {format_.name: format_ for format_ in FORMATS}

#: Read by the decoder of records.
BLKPARSE: Final = BLKPARSE_KIND.name
KERNEL: Final = KERNEL_KIND.name
NAMES: Final = (BLKTRACE, BLKPARSE, KERNEL, *BY_NAME)

#: Byte order marks; no format begins like this.
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_ASK: Final = "say which format it is by --format (`replay formats` lists them)"
#: The same of a text that is like none of them: any table of requests can be read.
_ASK_CSV: Final = (
    f"{_ASK}, for blkparse's -f by --blkparse-format FORMAT; of any other CSV number "
    f"its columns, as in {NUMBERED}"
)


def check_options(options: FormatOptions) -> None:
    """Refuse a name that is not known, and options that no format takes.

    Raises
    ------
    TraceError
    """
    name = options.name
    if name is not None and name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f": did you mean {near[0]}?" if near else f": {', '.join(NAMES)}"
        raise TraceError(f"--format: there is no format {name!r}{hint}")
    if options.columns is not None and name not in (None, user_csv.FORMAT.name):
        raise TraceError(f"--columns: {name} has columns of its own: use --format csv")
    if options.blkparse_format is not None and name not in (None, BLKPARSE):
        raise TraceError(f"--blkparse-format: {name} is not blkparse's text")
    if options.columns is not None and options.blkparse_format is not None:
        raise TraceError("--columns and --blkparse-format: give one of them")


def choose_format(paths: Sequence[Path], options: FormatOptions) -> str:
    """Find the format of files that are read together.

    Parameters
    ----------
    paths : sequence of Path
        At least one; empty files are of any format.
    options : FormatOptions
        What the user said.

    Returns
    -------
    str
        A name of `NAMES`.

    Raises
    ------
    TraceError
        It cannot be told by the content, the content speaks against what the user said,
        or the files are of different formats.
    """
    check_options(options)
    chosen: dict[str, Path] = {}
    for path in paths:
        if head := read_head(path):
            chosen.setdefault(_format_of(path, head, options), path)
    if len(chosen) > 1:
        (a, of_a), (b, of_b), *_ = chosen.items()
        raise TraceError(f"{of_a} is {a} and {of_b} is {b}: convert them one by one")
    return next(iter(chosen), BLKTRACE)


def _format_of(path: Path, head: bytes, options: FormatOptions) -> str:
    if head[:2] in _UTF_16:
        raise TraceError(
            f"{path}: is text in UTF-16: make it UTF-8, as by iconv -f UTF-16 -t UTF-8"
        )
    seen = recognise(head)
    name = options.name
    if name is None and options.columns is not None:
        name = user_csv.FORMAT.name
    if name is None and options.blkparse_format is not None:
        name = BLKPARSE
    if name is None:
        if len(seen) == 1:
            return seen[0]
        if seen:
            raise TraceError(f"{path}: may be {' or '.join(seen)}: {_ASK}")
        if (known := refused(str(path), head)) is not None:
            raise TraceError(f"{path}: {known}")
        # the decoder finds records behind a damaged beginning, or refuses the file
        damage = _damaged_binary(head)
        if damage is None and (not _is_text(head) or is_per_cpu(path)):
            return BLKTRACE
        if damage is None and path.suffix == ".toml":
            damage = "is a scenario by its name and no trace: give it by -s"
        raise TraceError(f"{path}: {damage or nearly(head)}")
    _check_guess(path, head, name, seen)
    return name


def _check_guess(path: Path, head: bytes, name: str, seen: Sequence[str]) -> None:
    """Refuse what the user said if the content speaks against it."""
    if name in seen or (name == BLKTRACE and not seen and not _is_text(head)):
        return
    text: str | None = None
    format_ = BY_NAME.get(name)
    # a user may name the columns of any text
    if seen and not (name == user_csv.FORMAT.name and _is_text(head)):
        text = f"its content is {seen[0]}"
    elif name == BLKTRACE:
        text = "it is text"
    elif format_ is not None:
        if not format_.binary and not _is_text(head):
            text = "it is no text"
        elif format_.doubt is not None:
            text = format_.doubt(head)
        elif format_.matches is not None and not _may_follow(format_, head):
            text = f"its lines are not {format_.columns}"
    elif not _is_text(head):
        text = "it is no text"
    if text is not None:
        raise TraceError(f"{path}: is not {name}: {text}")


def _may_follow(format_: Format, head: bytes) -> bool:
    """Return True if any line fits: damaged rows are refused by number, later."""
    if format_.matches is None:
        return True
    if format_.line is not None and any(
        map(format_.line.fullmatch, complete_lines(head)[:100])
    ):
        return True
    return format_.damaged is not None and format_.damaged(head) is not None


def nearly(head: bytes) -> str:
    """Say why a text is not recognised: what it nearly is, and the row that is not.

    Parameters
    ----------
    head : bytes
        The first bytes, of no format for sure.

    Returns
    -------
    str
        What is wrong and what to do, in one line.
    """
    lines = complete_lines(head)
    best: tuple[int, list[Format]] = (len(lines) // 2, [])
    for format_ in FORMATS:
        if format_.line is not None:
            n_good = sum(map(bool, map(format_.line.fullmatch, lines)))
            if n_good > best[0]:
                best = (n_good, [format_])
            elif n_good == best[0] and best[1]:
                best[1].append(format_)
    formats = [
        one
        for one in best[1]
        # the first row may be the damaged one
        if len(best[1]) == 1 or one.doubt is None or one.doubt(head) is None
    ]
    if not formats:
        return _unknown(head)
    names = " or ".join(one.name for one in formats)
    line = formats[0].line
    assert line is not None
    bad = next((n for n, one in enumerate(lines) if not line.fullmatch(one)), None)
    if bad is None:
        return (
            f"its content may be {names}, but it does not tell for sure: if it is, say "
            f"--format {formats[0].name} (`replay formats` lists all)"
        )
    text = lines[bad][:60].decode("utf-8", "backslashreplace")
    return (
        f"row {bad + 1}: is not {names}, as most other rows are "
        f"({formats[0].columns}): {text!r}: mend it or take it out"
    )


def _unknown(head: bytes) -> str:
    """Ask what a text is that is like nothing known."""
    if sample := read_sample(head, DELIMITERS):
        return (
            "is like no format that is known by its content; if it is a CSV say what "
            f"its columns hold: {suggest_columns(sample)} (check {user_csv.CHECK}), "
            "else --format NAME (`replay formats` lists them)"
        )
    return f"its content does not tell what it is: {_ASK_CSV}"


def _damaged_binary(head: bytes) -> str | None:
    """Say which record of a binary format is damaged; None if it is of none."""
    for format_ in FORMATS:
        if format_.damaged is not None and (damage := format_.damaged(head)):
            return f"{damage}, as most other records are of {format_.name}: mend it"
    return None


def recognise(head: bytes) -> list[str]:
    """List the formats that a file surely is, by how it begins.

    Parameters
    ----------
    head : bytes
        The first bytes, decompressed.

    Returns
    -------
    list of str
        Mostly one name, or none.
    """
    if is_blktrace(head):
        return [BLKTRACE]
    kind = recognise_text(head) if _is_text(head) else None
    if kind is not None:
        return [kind.name]
    return [one.name for one in FORMATS if one.matches and one.matches(head)]


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and bool(head.strip())
