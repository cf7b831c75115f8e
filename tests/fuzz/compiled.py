"""The reference, compiled as it stands: ``python tests/fuzz/compiled.py`` builds it.

Cython translates the same Python, without a type added, and its whole numbers stay
Python's: nothing but the interpreter's loop is gone, which was half of the time. So a
long round of the model's fuzzer takes half as long. `use` has the import system take
these modules in place of their sources; where none were built it does nothing.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

TOP: Final = Path(__file__).parents[2]
SOURCE: Final = TOP / "src" / "replay" / "engine" / "reference"
BUILT: Final = TOP / "build" / "fuzz" / "reference"
PACKAGE: Final = "replay.engine.reference."
#: Stay Python: Cython 3.3 stumbles over a slice of a slice that is unpacked.
LEFT_OUT: Final = ("__init__.py", "iocost.py")


class Finder(importlib.abc.MetaPathFinder):
    """Finds the compiled modules of the reference."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return where a module of the reference lies; None for all else."""
        if not fullname.startswith(PACKAGE):
            return None
        folder = BUILT.joinpath(*fullname.split(".")[:-1])
        spec = PathFinder.find_spec(fullname, [str(folder)])
        return spec if spec is not None and spec.loader is not None else None


def use() -> bool:
    """Take the compiled modules from now on; return True if there are any."""
    if not any(BUILT.rglob("*.so")):
        return False
    sys.meta_path.insert(0, Finder())
    return True


def build() -> None:
    """Compile the reference."""
    from Cython.Build import cythonize
    from setuptools import Extension, setup

    modules = [
        Extension(
            ".".join(path.relative_to(TOP / "src").with_suffix("").parts),
            [str(path)],
            extra_compile_args=["-O1", "-g0", "-w"],
        )
        for path in sorted(SOURCE.rglob("*.py"))
        if path.name not in LEFT_OUT
    ]
    sys.argv[1:] = ["-q", "build_ext", "-j2", "--build-lib", str(BUILT)]
    sys.argv += ["--build-temp", str(BUILT / "temp")]
    setup(
        name="reference",
        ext_modules=cythonize(  # type: ignore[no-untyped-call]
            modules,
            compiler_directives={"language_level": 3, "annotation_typing": False},
            build_dir=str(BUILT / "cython"),
            quiet=True,
        ),
    )


if __name__ == "__main__":
    build()
