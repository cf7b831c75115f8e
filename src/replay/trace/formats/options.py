"""The user's options for an input; importing this costs next to nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """The user's options for an input.

    Attributes
    ----------
    name : str or None
        A format's name; None is found by content.
    columns : str or None
        For ``csv``: what its columns hold (`replay.trace.formats.user_csv`).
    blkparse_format : str or None
        For ``blkparse``: the format string that its ``-f`` was given.
    """

    name: str | None = None
    columns: str | None = None
    blkparse_format: str | None = None


def format_words(options: FormatOptions) -> list[str]:
    """Write what the user said about an input as a command line has it.

    Parameters
    ----------
    options : FormatOptions

    Returns
    -------
    list of str
        Options and values, not quoted.
    """
    return [
        word
        for option, value in (
            ("--format", options.name),
            ("--columns", options.columns),
            ("--blkparse-format", options.blkparse_format),
        )
        if value is not None
        for word in (option, value)
    ]
