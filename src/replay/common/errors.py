"""The errors that `replay` raises on purpose.

Each message is one line that names the file, byte offset or key, what is wrong and
what to do. The command line prints it and exits with 1.
"""

from replay.common.plain import plain


class ReplayError(Exception):
    """Base of every error that `replay` raises on purpose.

    Parameters
    ----------
    message : str
        May name what a file or a user gave, and that may hold anything: control
        characters are escaped, so that the message is one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


class TraceError(ReplayError):
    """An input cannot be read as a trace."""


class ScenarioError(ReplayError):
    """A scenario is not valid, or does not fit the trace."""


class ModelError(ReplayError):
    """The engine refuses a request or an invariant of the model broke."""


class OutputError(ReplayError):
    """An output exists already, or cannot be written."""


class CaptureError(ReplayError):
    """A recording cannot be made, or a cgroup tree not be read.

    Parameters
    ----------
    *lines : str
        What is missing, each on one line; at least one.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
