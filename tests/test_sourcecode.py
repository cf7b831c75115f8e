"""Rules that the source keeps, whoever writes it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
MODULES = sorted((TOP / "src").rglob("*.pyx"))
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd"}
#: As in the release build; a check in the code would be a hint of its own.
DIRECTIVES = {
    "binding": True,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}
FOLDERS = ("src", "tests", "benchmarks")
MAX_LINES = 500
#: Tables are as long as they have rows.
TABLES = ("engine/setup.py", "engine/state/sim.pxd", "scenario/keys/table.py")
#: Places of one machine mean nothing on another. The brackets keep this line out.
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:[w]ork|[r]oot|[h]ome/\w+|[t]mp/\w+)/")


def source_files() -> list[Path]:
    return sorted(
        path
        for folder in FOLDERS
        for path in (TOP / folder).rglob("*")
        if path.suffix in SUFFIXES
    )


def project_texts() -> list[Path]:
    """All that a reader sees of the project, as git lists it."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=TOP,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    return [TOP / name for name in listed.split("\0") if name and (TOP / name).exists()]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(TOP / "src").with_suffix("").parts)


def lines_with(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(TOP)}:{text.count(chr(10), 0, match.start()) + 1}"
            for match in pattern.finditer(text)
        ]
    return found


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_translation_gives_no_performance_hint(path: Path, tmp_path: Path) -> None:
    # a hint means that nogil code takes the GIL back after a call, 50 times as slow
    command = [sys.executable, "-m", "cython", "-3"]
    for name, value in DIRECTIVES.items():
        command += ["-X", f"{name}={value}"]
    command += ["-I", str(TOP / "src"), "-o", str(tmp_path / "module.c")]
    done = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "performance hint" not in output.lower(), output


def test_every_nogil_function_says_what_it_raises() -> None:
    bare = re.compile(r"\)\s*nogil\b")
    compiled = [path for path in source_files() if path.suffix in {".pyx", ".pxd"}]
    assert lines_with(bare, compiled) == []


def test_no_file_is_too_long_to_do_one_job() -> None:
    long = {
        str(path.relative_to(TOP)): count
        for path in source_files()
        if (count := len(path.read_text("utf-8").splitlines())) > MAX_LINES
        and not str(path).endswith(TABLES)
    }
    assert long == {}


def test_a_class_has_a_name_of_its_own() -> None:
    # the reference has the engine's names on purpose: it states the same rules
    places: dict[str, list[str]] = {}
    for path in sorted((TOP / "src").rglob("*.py")):
        if "reference" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(TOP)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_path_of_one_machine_is_named() -> None:
    assert lines_with(MACHINE_PATH, project_texts()) == []


def imported(body: list[ast.stmt]) -> Iterator[str]:
    """Packages that a module imports when it runs, those of functions included.

    Not those whose absence it minds.
    """
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Try) and any(
            handler.type is not None and ast.unparse(handler.type) == "ImportError"
            for handler in node.handlers
        ):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module.partition(".")[0]
        for _, inner in ast.iter_fields(node):
            if isinstance(inner, list) and inner and isinstance(inner[0], ast.stmt):
                yield from imported(inner)


def test_the_package_imports_nothing_that_it_does_not_ask_for() -> None:
    # GIVEN what `pip install` brings, WHEN the tools of developers are not there
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[^\w-]", one)[0] for one in project["dependencies"]}
    brought = {*sys.stdlib_module_names, *asked, "replay"}
    # THEN no module of the package fails
    foreign = {
        f"{path.relative_to(TOP)}: {name}"
        for path in sorted((TOP / "src").rglob("*.py"))
        for name in imported(ast.parse(path.read_text("utf-8")).body)
        if name not in brought
    }
    assert foreign == set()


def test_every_compiled_module_has_a_stub() -> None:
    assert [
        dotted(path) for path in MODULES if not path.with_suffix(".pyi").exists()
    ] == []


def test_stubs_are_what_the_compiled_modules_hold() -> None:
    if not MODULES:
        pytest.skip("nothing is compiled")
    command = [sys.executable, "-m", "mypy.stubtest", "--concise"]
    command += ["--mypy-config-file", "pyproject.toml"]
    command += ["--allowlist", "tests/stubtest_allowlist.txt"]
    command += ["--ignore-unused-allowlist", *map(dotted, MODULES)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
