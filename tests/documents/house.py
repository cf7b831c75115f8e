"""The rooms of the package and who imports whom, found in the source.

``python -m documents.house`` draws them anew into docs/architecture.md.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TOP = Path(__file__).parents[2]
SOURCE = TOP / "src" / "replay"
DOCUMENT = TOP / "docs" / "architecture.md"
#: Rooms of the package; each imports those before it alone.
ROOMS = (
    *("common", "parallel", "trace", "engine", "scenario", "capture", "results"),
    *("runner", "sweeps", "curves", "calibration", "dataset", "verify"),
    *("report", "cli"),
)
#: Files and folders of a room, likewise.
INSIDE = {
    "scenario": (
        *("keys", "binding", "setup", "notes", "bind", "overrides", "docs"),
        "writing",
    ),
    "trace": (
        *(
            "rows",
            "file",
            "pairing",
            "inputs",
            "blktrace",
            "text",
            "formats",
            "recording",
        ),
        *("convert", "opened", "events"),
    ),
}
#: Folders of the engine's headers, likewise.
ENGINE_FOLDERS = (
    *("structures", "state", "counting", "queues", "driver", "memcg", "pages"),
    *("charging", "controllers", "disk", "shortcuts", "run"),
)
#: The one arrow upwards: how a result looks is known above it.
DOOR = ("common.shown", "report.pages")

Graph = Mapping[str, set[str]]


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


def imported(body: Sequence[ast.AST]) -> Iterator[tuple[str, str]]:
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
            if isinstance(inner, list) and all(
                isinstance(one, ast.AST) for one in inner
            ):
                yield from imported(inner)


def module_graph() -> Graph:
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


def in_circles(graph: Graph) -> set[str]:
    """Modules of circles, and those between two circles."""
    left = {name: set(arrows) for name, arrows in graph.items()}
    while True:
        reached = set().union(*left.values())
        free = {name for name in left if not left[name] or name not in reached}
        if not free:
            return set(left)
        left = {name: left[name] - free for name in left.keys() - free}


def sources(below: Path) -> Iterator[Path]:
    """Source files below a folder."""
    for path in sorted(below.rglob("*")):
        if path.suffix in {".py", ".pyi", ".pyx", ".pxd"}:
            yield path


def room_graph() -> Graph:
    """Rooms with those that each names to import, but for the door."""
    return {
        room: {
            other[0]
            for path in sources(SOURCE / room)
            for other in uses(path)
            if (room, ".".join(other)) != ("common", DOOR[1])
        }
        - {room}
        for room in ROOMS
    }


def engine_graph() -> Graph:
    """Folders of the engine's headers with those that each cimports."""
    return {
        folder: {
            other[1]
            for path in (SOURCE / "engine" / folder).glob("*.pxd")
            for other in uses(path)
            if other[0] == "engine"
        }
        - {folder}
        for folder in ENGINE_FOLDERS
    }


def drawing(graph: Graph, names: Sequence[str]) -> str:
    """Draw who imports whom, as mermaid.

    An arrow that follows from others is left out: who imports a room may import what
    that room imports.
    """
    below: dict[str, set[str]] = {}
    lines = ["```mermaid", "graph TD"]
    for name in names:
        indirect: set[str] = set().union(*(below[one] for one in graph[name]))
        below[name] = graph[name] | indirect
        direct = [one for one in names if one in graph[name] - indirect]
        lines += [f"    {name} --> {one}" for one in direct] or [f"    {name}"]
    return "\n".join([*lines, "```"])


def drawings() -> dict[str, str]:
    """Every drawing of the document, by its name there."""
    return {
        "rooms": drawing(room_graph(), ROOMS),
        "engine": drawing(engine_graph(), ENGINE_FOLDERS),
    }


def redrawn(text: str) -> str:
    """Put the drawings where they belong in the document."""
    for name, made in drawings().items():
        begin, end = f"<!-- drawing: {name} -->\n", "<!-- end of drawing -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{made}\n{end}{after}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(redrawn(DOCUMENT.read_text("utf-8")), "utf-8")
