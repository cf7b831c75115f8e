"""As many notes as a person reads."""

from collections.abc import Sequence
from typing import Final

#: Notes of one sort, of a scenario that may list thousands of cgroups.
MOST_NOTES: Final = 5


def capped(notes: Sequence[str], more: str) -> list[str]:
    """Keep the first notes of one sort and count the others.

    Parameters
    ----------
    notes : sequence of str
    more : str
        What the others are; their number goes before it.

    Returns
    -------
    list of str
        At most `MOST_NOTES` and one.
    """
    rest = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], *([f"{rest} {more}"] if rest > 0 else [])]
