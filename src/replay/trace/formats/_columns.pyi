from typing import Final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

NUMBER: Final[int]
CLOCK: Final[int]
DATE: Final[int]
BLANK: Final[int]

def by_blanks(
    lines: bytes, n_columns: int, wide: int, optional: int, joined: int = -1
) -> bytes: ...
def first_columns(lines: bytes, n_columns: int) -> bytes: ...
def parse_times(
    data: Buffer | None,
    offsets: Buffer,
    first: int,
    n_rows: int,
    scale: int,
    dated: bool,
    out: NDArray[np.int64],
) -> tuple[int, int]: ...
