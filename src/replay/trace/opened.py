"""Open a trace, whatever it is kept as."""

from pathlib import Path

from replay.trace.convert import open_or_convert
from replay.trace.file.read import Trace


def open_trace(path: str | Path) -> Trace:
    """Open a trace file, or a directory with a recording.

    Parameters
    ----------
    path : str or Path
        As `convert` wrote it. What is in a directory is converted, and kept for as long
        as it is open.

    Returns
    -------
    Trace
        To be closed, or used in a ``with`` statement.

    Raises
    ------
    TraceError
        The file cannot be read, is no trace file, or is one of another version.
    """
    if Path(path).is_dir():
        return open_or_convert(path)
    return Trace(path)
