"""How numbers and names are shown to a person."""

from collections.abc import Sequence


def printable(text: str) -> str:
    r"""Show text of unknown origin on one line, without control characters.

    Parameters
    ----------
    text : str
        May hold anything: a process may call itself an escape sequence.

    Returns
    -------
    str
        Unprintable characters as Python writes them, for example ``\x1b``.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(count: int, unit: str) -> str:
    """Show a number of things: ``"1 file"``, ``"2,000 files"``."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def seconds(time_ns: int | None) -> str:
    """Show ns as seconds, to the µs; nothing if there is none."""
    return "" if time_ns is None else f"{time_ns / 1_000_000_000:,.6f}"


def ranges(numbers: Sequence[int]) -> str:
    """Show ascending numbers as ``"1-3, 7"``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in runs)
