"""Who may import whom: rooms of the package, folders in them, headers of the engine."""

import pytest

from documents.house import (
    DOOR,
    ENGINE_FOLDERS,
    INSIDE,
    ROOMS,
    SOURCE,
    Graph,
    in_circles,
    module_graph,
    uses,
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return module_graph()


def test_no_module_imports_one_that_imports_it(graph: Graph) -> None:
    # the door is a circle, and the only one
    assert in_circles(graph) == set(DOOR)
    below, above = DOOR
    assert in_circles({**graph, below: graph[below] - {above}}) == set()


@pytest.mark.parametrize("room", INSIDE)
def test_folders_of_a_room_import_only_those_before_them(
    room: str, graph: Graph
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
            if other[0] != "common"
            and (other[0] != "engine" or ENGINE_FOLDERS.index(other[1]) > folder)
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


#: Files of the reference without a header of the same name, and why.
NO_HEADER = {
    "charging/page_cache": "the engine's charging/buffered_* and pages/cache in one",
    "run/results": "the engine's structs leave as they are: engine/layout.py",
    "state/run": "the engine's state/sim",
}
#: Headers that have no file of the same name in the reference, by the reason.
NO_TWIN = {
    "how the engine holds and finds things: the reference has dictionaries and lists": {
        *("structures/arena", "structures/bits", "structures/flat_histogram"),
        *("structures/heap", "structures/histogram_read", "structures/log"),
        *("structures/prefetch", "structures/ends"),
        *("controllers/devices", "memcg/counters"),
        *("memcg/victims", "pages/owners", "state/entries", "state/failed"),
        *("state/halting", "state/rows"),
        *("state/stream_types", "state/units", "driver/policies"),
    },
    "structures: in the reference they stand with what uses them": {
        *("state/bfq", "state/counts", "state/disk", "state/iocost"),
        *("state/iolatency", "pages/lrugen"),
        *("state/iomax", "state/pages", "state/queues", "state/sim"),
        *("state/timeline", "state/victims"),
    },
    "opening, closing and handing over: constructors, and run/results": {
        *("controllers/bfq_open", "controllers/iocost_open", "disk/disk_open"),
        *("controllers/iolatency_open", "controllers/iomax_open"),
        *("driver/policies_open", "run/fill", "run/open_close"),
        *("counting/bucket_rows", "counting/latencies", "counting/latency_rows"),
    },
    "faster ways, which the reference must not have": {
        *("shortcuts/bulk", "shortcuts/lean", "shortcuts/lean_pages"),
        *("shortcuts/lean_rows", "shortcuts/lean_workers", "shortcuts/prefetch_rows"),
        *("state/bulk", "state/lean", "shortcuts/flats", "state/flats"),
    },
    "parts of a longer file: page_cache, tmpfs, server, controller_events, loop": {
        *("charging/buffered_read", "charging/buffered_write", "charging/page_add"),
        *("charging/huge", "charging/page_put"),
        *("pages/cache", "controllers/backcharge", "controllers/splits"),
    },
}


def test_reference_has_the_folders_and_names_of_the_engine() -> None:
    engine = SOURCE / "engine"
    headers = {
        str(path.relative_to(engine).with_suffix(""))
        for path in engine.glob("*/*.pxd")
        if path.stem != "__init__"
    }
    files = {
        str(path.relative_to(engine / "reference").with_suffix(""))
        for path in (engine / "reference").glob("*/*.py")
        if path.stem != "__init__"
    }
    assert files - headers == set(NO_HEADER)
    assert headers - files == set().union(*NO_TWIN.values())
    # what has a twin by now is taken off the list
    assert sum(map(len, NO_TWIN.values())) == len(headers - files)


def test_folders_of_the_reference_import_only_folders_before_them() -> None:
    reference = SOURCE / "engine" / "reference"
    strange = []
    for path in sorted(reference.glob("*/*.py")):
        folder = ENGINE_FOLDERS.index(path.parent.name)
        strange += [
            f"{path.relative_to(reference)}: {'.'.join(other)}"
            for other in uses(path)
            if other[:2] == ["engine", "reference"]
            and other[2] in ENGINE_FOLDERS
            and ENGINE_FOLDERS.index(other[2]) > folder
        ]
    assert strange == []
