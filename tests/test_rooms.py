"""Who may import whom: rooms of the package, folders in them, headers of the engine."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "replay"
#: Rooms of the package; each imports those before it alone.
ROOMS = (
    *("common", "parallel", "trace", "engine", "scenario", "capture", "results"),
    *("runner", "sweeps", "curves", "calibration", "dataset", "report", "cli"),
)
#: Files and folders of a room, likewise.
INSIDE = {
    "scenario": (
        *("keys", "binding", "setup", "notes", "bind", "overrides", "docs"),
        "writing",
    ),
    "trace": (
        *("rows", "file", "pairing", "inputs", "blktrace", "formats", "recording"),
        *("convert", "events"),
    ),
}
#: Folders of the engine's headers, likewise.
ENGINE_FOLDERS = (
    *("structures", "state", "counting", "queues", "driver", "memcg", "pages"),
    *("charging", "controllers", "shortcuts", "run"),
)
#: The one arrow upwards: how a result looks is known above it.
DOOR = ("common.shown", "report.pages")


def uses(path: Path) -> Iterator[list[str]]:
    """Modules of the package that a file names to import, without ``replay``."""
    pattern = r"^\s*from replay\.([\w.]+) c?import\b"
    for name in re.findall(pattern, path.read_text("utf-8"), re.MULTILINE):
        yield name.split(".")


def modules() -> dict[str, Path]:
    """Every Python module by its name without ``replay``; a package by its own."""
    found = {}
    for path in sorted([*SOURCE.rglob("*.py"), *SOURCE.rglob("*.pyi")]):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imported(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Modules and names that code imports when it runs, inside functions too."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imported(node.orelse)
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield from ((node.module, one.name) for one in node.names)
        elif isinstance(node, ast.Import):
            yield from ((one.name, "") for one in node.names)
        for _, inner in ast.iter_fields(node):
            if (
                isinstance(inner, list)
                and inner
                and isinstance(inner[0], (ast.stmt, ast.excepthandler, ast.match_case))
            ):
                yield from imported(inner)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Modules by name, with those that each imports when it runs."""
    known = modules()
    found = {}
    for name, path in known.items():
        arrows = set()
        for module, what in imported(ast.parse(path.read_text("utf-8")).body):
            package, _, rest = module.partition(".")
            if package != "replay":
                continue
            inner = f"{rest}.{what}" if rest else what
            arrows.add(inner if inner in known else rest)
        found[name] = arrows & known.keys() - {name}
    return found


def in_circles(graph: dict[str, set[str]]) -> set[str]:
    """Modules of circles, and those between two circles."""
    left = {name: set(arrows) for name, arrows in graph.items()}
    while True:
        reached = set().union(*left.values())
        free = {name for name in left if not left[name] or name not in reached}
        if not free:
            return set(left)
        left = {name: left[name] - free for name in left.keys() - free}


def test_no_module_imports_one_that_imports_it(graph: dict[str, set[str]]) -> None:
    # the door is a circle, and the only one
    assert in_circles(graph) == set(DOOR)
    below, above = DOOR
    assert in_circles({**graph, below: graph[below] - {above}}) == set()


@pytest.mark.parametrize("room", INSIDE)
def test_folders_of_a_room_import_only_those_before_them(
    room: str, graph: dict[str, set[str]]
) -> None:
    order = INSIDE[room]
    inside = {name: name.split(".")[1] for name in graph if name.startswith(f"{room}.")}
    # a folder of headers alone has no module
    headers = {path.parent.name for path in (SOURCE / room).glob("*/__init__.pxd")}
    assert set(inside.values()) | headers == set(order)
    assert [
        f"{name}: {other}"
        for name, folder in inside.items()
        for other in sorted(graph[name] & inside.keys())
        if order.index(inside[other]) > order.index(folder)
    ] == []


def test_the_package_has_the_rooms_that_are_listed() -> None:
    assert {path.parent.name for path in SOURCE.glob("*/__init__.py")} == set(ROOMS)
    assert [path.name for path in SOURCE.glob("*.py")] == ["__init__.py"]


def test_rooms_import_only_rooms_before_them() -> None:
    strange = []
    for path in sorted(SOURCE.glob("*/**/*")):
        if path.suffix not in {".py", ".pyi", ".pyx", ".pxd"}:
            continue
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        room = ROOMS.index(name.split(".")[0])
        strange += [
            f"{name}: {'.'.join(other)}"
            for other in uses(path)
            if ROOMS.index(other[0]) > room and (name, ".".join(other)) != DOOR
        ]
    assert strange == []


def test_headers_of_the_engine_cimport_only_folders_before_them() -> None:
    engine = SOURCE / "engine"
    strange = []
    for path in sorted(engine.glob("*/*.pxd")):
        folder = ENGINE_FOLDERS.index(path.parent.name)
        strange += [
            f"{path.relative_to(engine)}: {'.'.join(other)}"
            for other in uses(path)
            if other[0] != "engine" or ENGINE_FOLDERS.index(other[1]) > folder
        ]
    assert strange == []


def test_other_rooms_cimport_structures_of_the_engine_and_its_rows_alone() -> None:
    strange = []
    for path in sorted([*SOURCE.rglob("*.pxd"), *SOURCE.rglob("*.pyx")]):
        if path.is_relative_to(SOURCE / "engine"):
            continue
        strange += [
            f"{path.relative_to(SOURCE)}: {'.'.join(other)}"
            for other in uses(path)
            if other[0] == "engine"
            and other[1] != "structures"
            and other[1:] != ["state", "rows"]
        ]
    assert strange == []
