"""Build the extension modules; all other metadata stands in ``pyproject.toml``.

``REPLAY_BUILD`` selects the profile: ``release`` (default), ``debug`` (bounds,
initialisation and the engine's own checks on), ``coverage`` (debug with line tracing)
or ``sanitize`` (debug with address and undefined-behaviour sanitizers).
``REPLAY_MODULES`` is a pattern of the source files to build; all by default.
"""

import json
import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError, PlatformError

PROFILES = ("release", "debug", "coverage", "sanitize")
PROFILE = os.environ.get("REPLAY_BUILD", "release")
if PROFILE not in PROFILES:
    raise SystemExit(f"REPLAY_BUILD: {PROFILE!r} is not one of {', '.join(PROFILES)}")
CHECKED = PROFILE != "release"

DIRECTIVES = {
    "language_level": 3,
    "embedsignature": True,
    "binding": True,
    "auto_pickle": False,
    "freethreading_compatible": True,
    "boundscheck": CHECKED,
    "wraparound": False,
    "initializedcheck": CHECKED,
    "cdivision": not CHECKED,
    "linetrace": PROFILE == "coverage",
}
# generated code has unused helpers and compares loop counters with enum constants
COMPILE_ARGS = ["-std=c11", "-Wall", "-Wextra", "-Wno-unused-function"]
COMPILE_ARGS += ["-Wno-unused-parameter", "-Wno-sign-compare"]
COMPILE_ARGS += ["-O1", "-g", "-UNDEBUG"] if CHECKED else ["-O3", "-g0"]
MACROS: list[tuple[str, str | None]] = [("REPLAY_CHECKS", "1" if CHECKED else "0")]
LINK_ARGS: list[str] = []
if PROFILE == "coverage":
    MACROS += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
if PROFILE == "sanitize":
    SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    SANITIZERS += ["-fno-omit-frame-pointer"]
    COMPILE_ARGS += SANITIZERS
    LINK_ARGS += SANITIZERS

ROOT = Path(__file__).parent
MODULES = os.environ.get("REPLAY_MODULES", "*.pyx")
extensions = [
    Extension(
        ".".join(source.relative_to(ROOT / "src").with_suffix("").parts),
        [str(source.relative_to(ROOT))],
        define_macros=MACROS,
        extra_compile_args=COMPILE_ARGS,
        extra_link_args=LINK_ARGS,
    )
    for source in sorted((ROOT / "src").rglob(MODULES))
]


class BuildExt(build_ext):
    """Says in one line what is missing where nothing can be compiled."""

    def run(self) -> None:
        """Compile the modules."""
        try:
            super().run()
        except (CompileError, ExecError, LinkError, PlatformError):
            raise SystemExit(
                "cgroup-replay: what it compiles could not be built, see above: it "
                "needs a C compiler and Python's headers (Debian, Ubuntu: apt install "
                "gcc python3-dev)"
            ) from None


class BdistWheel(bdist_wheel):
    """Writes the bill of materials into the wheel (PEP 770): nothing is bundled."""

    def write_wheelfile(self, wheelfile_base: str, *arguments: str) -> None:
        """Write ``WHEEL``, and ``sboms/`` beside it."""
        super().write_wheelfile(wheelfile_base, *arguments)
        name = self.distribution.get_name()
        version = self.distribution.get_version()
        purl = f"pkg:pypi/{name}@{version}"
        bill = {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application",
                    "bom-ref": purl,
                    "name": name,
                    "version": version,
                    "purl": purl,
                    "licenses": [{"expression": "Apache-2.0"}],
                }
            },
            # what it needs is installed beside it, as METADATA says
            "components": [],
            "compositions": [{"aggregate": "complete", "assemblies": [purl]}],
        }
        place = Path(wheelfile_base) / "sboms"
        place.mkdir(exist_ok=True)
        text = json.dumps(bill, indent=2) + "\n"
        (place / f"{name}.cdx.json").write_text(text, "utf-8")


setup(
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
    # a compiler for each processor: installing is mostly waiting for them
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        extensions,
        include_path=["src"],
        compiler_directives=DIRECTIVES,
        # coverage reads the C beside its source; else it stays out of the tree
        build_dir=None if PROFILE == "coverage" else f"build/cython/{PROFILE}",
        annotate=PROFILE == "debug",
    ),
)
