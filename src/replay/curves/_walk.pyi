from typing import Any, Self

from numpy.typing import NDArray
from typing_extensions import disjoint_base

from replay.curves._stack import Stack

@disjoint_base
class Walk:
    def __new__(
        cls,
        css: NDArray[Any],
        parent: NDArray[Any],
        kinds: NDArray[Any],
        threshold: int,
        laid_out: bool,
    ) -> Self: ...
    def add(
        self,
        device: NDArray[Any],
        op: NDArray[Any],
        sector: NDArray[Any],
        nbytes: NDArray[Any],
        issuer: NDArray[Any],
    ) -> None: ...
    @property
    def stacks(self) -> dict[int, Stack]: ...
    @property
    def holes(self) -> bool: ...
    def is_on_disk(self, device: int, page: int) -> bool: ...
