"""The format strings of blkparse's ``-f``."""

from typing import Final

from replay.common.errors import TraceError
from replay.trace.blktrace.batches import EVENT_NAMES
from replay.trace.text.kinds import BLKPARSE, TextKind

#: The letters of blkparse's -f that are read; any other field is stepped over.
FIELDS: Final = frozenset("aCcdDegmMnNpsStTU")
SKIPPED: Final = frozenset("PuzG")
_BLANKS, _CHARACTER, _FIELD = 1, 2, 3
_NEEDED: Final = (
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
    return given_kind(text).steps


def given_kind(text: str) -> TextKind:
    r"""Make what reads text that was printed with ``-f``, or with ``-F``.

    Parameters
    ----------
    text : str
        For example ``"%D %2c %8s %5T.%9t %5p %2a %3d %S + %n [%C] %g\n"``; where it has
        no action, as what ``-F`` takes: ``"D,%D %5T.%9t %d %S %n\n"``.

    Returns
    -------
    TextKind

    Raises
    ------
    TraceError
        A field is not known, or one is missing without which there is no request.
    """
    said = text
    letter = ""
    if text[1:2] == "," and text[:1] in EVENT_NAMES:
        letter, text = text[0], text[2:]
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
    _check_name(steps)
    if letter and "a" in fields:
        raise TraceError(f"--blkparse-format: {letter}, stands before it and %a in it")
    if not letter and "a" not in fields:
        raise TraceError(
            "--blkparse-format: has no action (%a): where all lines are of one, say "
            f"which, as blkparse's -F takes it: 'D,{said.rstrip()}'"
        )
    for what, letters in _NEEDED:
        if not set(letters) & set(fields):
            raise TraceError(
                f"--blkparse-format: has no {what} (%{' or %'.join(letters)}): the "
                "requests cannot be made of such text"
            )
    try:
        packed = bytes(value for kind, one in steps for value in (kind, ord(one)))
    except ValueError as error:
        raise TraceError(f"--blkparse-format: {text!r}: {error}") from error
    return TextKind(
        name=BLKPARSE.name,
        what="the format given",
        steps=packed,
        letter=EVENT_NAMES.index(letter) if letter else 0,
    )


def _check_name(steps: list[tuple[int, str]]) -> None:
    """Refuse a name twice, or one whose end nothing tells."""
    places = [n for n, step in enumerate(steps) if step == (_FIELD, "C")]
    if len(places) > 1:
        raise TraceError("--blkparse-format: has %C more than once")
    for place in places:
        for kind, field in steps[place + 1 : place + 2]:
            if kind == _FIELD:
                raise TraceError(
                    f"--blkparse-format: nothing stands between %C and %{field}, so "
                    "that the name's end cannot be told: print a character there"
                )
