"""Colours of cgroups: a name has the same one in every picture and every run."""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

#: Okabe and Ito's colours, which people tell apart however they see colour; without
#: black, and yellow, which is too light for a line.
PALETTE: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#8C564B", "#7F3C8D"),
)
#: What has no colour of its own.
GREY: Final = "#8A8A8A"
ROOT: Final = "/"
#: A mean or percentile has the same colour on every page, and the same mark where
#: colours are those of cgroups: Okabe and Ito's, too.
TIME_COLOURS: Final = {"p50": "#009E73", "mean": "#0072B2", "p99": "#D55E00"}
TIME_SHAPES: Final = {
    **{"p50": "circle", "mean": "diamond", "p99": "triangle-up", "p99.9": "square"}
}


def colours(names: Sequence[str]) -> dict[str, str]:
    """Give each name a colour that depends on the name, so that runs agree.

    Parameters
    ----------
    names : sequence of str
        The most important first: it keeps its colour where two want the same one.

    Returns
    -------
    dict of str to str
        Grey for the root, and for names beyond the palette.
    """
    free = dict.fromkeys(PALETTE)
    found = {}
    for name in names:
        if name == ROOT or not free:
            found[name] = GREY
            continue
        wanted = crc32(name.encode("utf-8", "surrogatepass")) % len(PALETTE)
        for step in range(len(PALETTE)):
            colour = PALETTE[(wanted + step) % len(PALETTE)]
            if colour in free:
                break
        del free[colour]
        found[name] = colour
    return found
