from collections.abc import Sequence
from typing import Final

from typing_extensions import Buffer, disjoint_base

N_COLUMNS: Final[int]

@disjoint_base
class Decoder:
    def __init__(
        self, sources: Sequence[tuple[str, Buffer]], window: int, seed: bytes
    ) -> None: ...
    @property
    def bytes_read(self) -> int: ...
    def fill(
        self, columns: Sequence[Buffer], capacity: int
    ) -> tuple[int, int, int, int]: ...
    def close(self) -> None: ...
    def counts(self) -> dict[str, int]: ...
