"""Coverage of compiled code, inlined ``.pxd`` files included.

Cython's own plugin finds the C file of a ``.pxd`` only after it met the ``.pyx`` that
includes it, and reports come in no such order. Here every C file is read first.
"""

from pathlib import Path
from typing import Any

from Cython.Coverage import Plugin
from Cython.Utils import is_cython_generated_file

SOURCES = Path("src")


class InlinePlugin(Plugin):
    """Cython's plugin, which knows every inlined file beforehand."""

    def file_reporter(self, filename: str) -> Any:
        if self._c_files_map is None:
            for path in sorted(SOURCES.rglob("*.c")):
                if is_cython_generated_file(str(path)):
                    self._read_source_lines(str(path.absolute()), filename)
        return super().file_reporter(filename)  # type: ignore[no-untyped-call]


def coverage_init(registry: Any, options: Any) -> None:
    registry.add_file_tracer(InlinePlugin())
