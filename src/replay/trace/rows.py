"""What every reader of an input has in common."""

from replay.trace.file.metadata import Summary


class Summarised:
    """A reader that knows what it learned when an iteration has ended."""

    _summary: Summary | None = None

    @property
    def summary(self) -> Summary:
        """What was learned; known when an iteration has ended.

        Raises
        ------
        RuntimeError
            No iteration has ended.
        """
        if self._summary is None:
            raise RuntimeError("the summary is known after the last batch")
        return self._summary
