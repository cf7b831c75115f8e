from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from replay.engine.columns import Columns

@disjoint_base
class Batch:
    def __new__(
        cls, columns: Columns, service_ns: NDArray[np.int64] | None = None
    ) -> Self: ...
