from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from replay.engine.columns import Columns
from replay.engine.setup import Setup

@disjoint_base
class Services:
    def __new__(cls, setup: Setup) -> Self: ...
    def fill(self, columns: Columns, out: NDArray[np.int64]) -> None: ...
