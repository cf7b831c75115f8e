"""How the measures of a sweep are drawn: names, units."""

from typing import Final

from replay.results.measures import BYTES, COUNT, NS

#: Measures that have a picture, if any cgroup has some of them.
PANELS: Final = ("kills", "errors", "p99_ns", "charged_bytes", "wait_others_ns")
UNITS: Final = {NS: ("ms", 1e6), BYTES: ("MiB", 2**20), COUNT: ("", 1)}
SHORT: Final = {
    "kills": "tasks killed",
    "errors": "requests that failed",
    "p99_ns": "p99 of the requests' time",
    "charged_bytes": "memory charged",
    "wait_others_ns": "waited behind others, all requests",
}


def named(name: str) -> str:
    """Return what a measure is called where a title begins with it.

    Parameters
    ----------
    name : str
        Its column.

    Returns
    -------
    str
    """
    text = SHORT[name]
    return text if text.startswith("p99") else text[0].upper() + text[1:]
