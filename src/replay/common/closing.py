"""Objects that close themselves at the end of a ``with``."""

from typing import Self


class Closing:
    """A context manager whose end is its own `close`."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what is held; again does no harm."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
