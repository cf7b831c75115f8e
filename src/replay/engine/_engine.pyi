from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from replay.engine.columns import Columns
from replay.engine.setup import Setup
from replay.engine.streams import Streams

@disjoint_base
class Engine:
    def __new__(cls, setup: Setup, requests: bool = False) -> Self: ...
    def feed(self, columns: Columns, service_ns: NDArray[np.int64]) -> None: ...
    def follow(
        self,
        batches: Sequence[Columns],
        services: Sequence[NDArray[np.int64]],
        streams: Streams,
    ) -> None: ...
    def advance(self, n_events: int = ...) -> bool: ...
    def take_requests(self) -> bytes: ...
    def tables(self) -> dict[str, bytes]: ...
    def counts(self) -> dict[str, int]: ...

def struct_sizes() -> dict[str, int]: ...
