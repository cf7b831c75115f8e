"""Tell that something is going to go, in one way for all of it.

What is deprecated works for one more minor version.
"""

import warnings


def deprecated(what: str, *, since: str, until: str, instead: str) -> None:
    """Warn that a caller uses what is going to go.

    Parameters
    ----------
    what : str
        As the user wrote it: ``replay run --old``, ``replay.old()``, a key.
    since, until : str
        Versions: that which began to warn, and that in which it is gone.
    instead : str
        What to write.

    Warns
    -----
    FutureWarning
        One line. A user sees it, the command line prints it; for the line of the
        program that called the function that calls this.
    """
    warnings.warn(
        f"{what} is deprecated since {since} and gone in {until}: use {instead}",
        FutureWarning,
        stacklevel=3,
    )
