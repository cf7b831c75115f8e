from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from replay.engine.columns import Columns
from replay.engine.setup import Setup

WINDOW: Final[int]

@disjoint_base
class Services:
    def __new__(cls, setup: Setup, window: int = ...) -> Self: ...
    def fill(self, columns: Columns, out: NDArray[np.int64]) -> int: ...
    def end(self) -> int: ...
