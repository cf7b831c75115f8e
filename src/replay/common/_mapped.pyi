from typing import final

from typing_extensions import Buffer

@final
class Watched:
    def __new__(cls, data: Buffer) -> Watched: ...
    def close(self) -> None: ...
    @property
    def cut(self) -> bool: ...
