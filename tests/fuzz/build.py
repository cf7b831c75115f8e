"""Build the fuzzer's module: ``python tests/fuzz/build.py`` puts it in build/fuzz."""

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

TOP = Path(__file__).parents[2]
FLAGS = ["-std=c11", "-O2", "-g0", "-fsanitize-coverage=trace-pc", "-w"]


def main() -> None:
    """Compile it, if it is older than what it is made of."""
    made = Extension(
        "_fuzz",
        [str(TOP / "tests" / "fuzz" / "_fuzz.pyx")],
        define_macros=[("REPLAY_CHECKS", "1")],
        extra_compile_args=FLAGS,
    )
    sys.argv[1:] = ["-q", "build_ext", "--build-lib", str(TOP / "build" / "fuzz")]
    sys.argv += ["--build-temp", str(TOP / "build" / "fuzz" / "temp")]
    setup(
        name="fuzz",
        ext_modules=cythonize(  # type: ignore[no-untyped-call]
            [made],
            include_path=[str(TOP / "src")],
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
            },
            build_dir=str(TOP / "build" / "fuzz" / "cython"),
            quiet=True,
        ),
    )


if __name__ == "__main__":
    main()
