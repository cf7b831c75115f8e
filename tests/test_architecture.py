"""What documents say of the source is there: paths, drawings, kernel functions."""

import re
from pathlib import Path

import pytest

from documents import rules
from documents.house import DOCUMENT, ROOMS, SOURCE, TOP, redrawn, sources

MODEL = TOP / "docs" / "model.md"
#: The heading above the list of all rules there.
LIST = "Which rule, from which function"
#: About as many files as one holds in the head.
MOST_FILES = 20
#: Folders with a file for each row of a table, and what the table is.
TABLES = {
    "src/replay/cli": "commands",
    "src/replay/engine/state": "structures of a run's state",
    "src/replay/trace/formats": "input formats",
}


def sections(text: str) -> dict[str, str]:
    """Text under each heading of the second level."""
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def exists(name: str) -> bool:
    """Whether a path is there, below the sources or the repository."""
    return any((place / name).exists() for place in (SOURCE, SOURCE.parent, TOP))


def test_drawings_are_made_of_the_imports() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert text == redrawn(text)


def test_rooms_are_listed_in_their_order() -> None:
    text = sections(DOCUMENT.read_text("utf-8"))["Rooms"]
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ROOMS


def test_paths_of_the_architecture_are_there() -> None:
    text = DOCUMENT.read_text("utf-8")
    named = re.findall(r"`([\w./]+(?:\.\w+|/))`|\b(docs/\w+\.md)", text)
    paths = {one for pair in named for one in pair if "/" in one}
    assert len(paths) > 30
    assert {one for one in paths if not exists(one)} == set()
    # names alone are of a room's own files
    files = {one for one, _ in named if one.endswith(".py") and "/" not in one}
    assert files
    assert {one for one in files if not list(SOURCE.glob(f"*/{one}"))} == set()


def test_the_walk_leads_to_where_it_says() -> None:
    text = sections(DOCUMENT.read_text("utf-8"))["Where is the rule?"]
    steps = re.findall(r"`([\w./]+\.\w+)`\s+\(`(\w+)`\)", text)
    assert len(steps) == 3
    for name, function in steps:
        place = SOURCE if (SOURCE / name).exists() else TOP
        assert re.search(rf"\b{function}\(", (place / name).read_text("utf-8")), name


def test_each_section_of_the_model_names_its_code_and_tests() -> None:
    found = sections(MODEL.read_text("utf-8"))
    del found[LIST]
    for heading, text in found.items():
        first = text.strip().split("\n\n")[0]
        line = re.fullmatch(r"Code: ([^;]+);\s+tests:\s+([^;]+)\.", first)
        assert line is not None, heading
        code, tests = (re.findall(r"`([^`]+)`", part) for part in line.groups())
        assert code, heading
        assert tests, heading
        assert [one for one in code if not (SOURCE / one).is_file()] == [], heading
        assert [one for one in tests if not (TOP / "tests" / one).is_file()] == []


def test_the_list_of_rules_is_what_stands_below_it() -> None:
    text = MODEL.read_text("utf-8")
    assert rules.page(text) == text
    # AND it has every rule with its functions, and the drawing's links lead to rules
    found = sections(text)
    listed = found.pop(LIST)
    anchors = {rules.anchor(heading) for heading in found}
    assert set(re.findall(r"\]\(#([^)]+)\)", listed)) == anchors
    head = text.partition(f"## {LIST}")[0]
    assert set(re.findall(r"\]\(#([^)]+)\)", head)) <= anchors
    named = set(re.findall(r"`(\w+\(\))`", listed))
    assert len(named) > 100
    assert "`blk_throtl_bio()`" in listed


def kernel_functions(path: Path) -> set[str]:
    """Functions that a file names as the source of what it does."""
    found: set[str] = set()
    text = path.read_text("utf-8")
    for start in re.finditer(r"\bSources?:", text):
        block: list[str] = []
        for line in text[start.end() :].split("\n"):
            told = line.strip().lstrip("#").strip()
            if block and (not told or line.strip().startswith('"""')):
                break
            block.append(told)
            if '"""' in line:
                break
        found |= set(re.findall(r"\b([a-z_]\w+)\(\)", " ".join(block)))
    return found


def test_kernel_functions_of_the_code_stand_in_the_model() -> None:
    model = set(re.findall(r"\b([a-z_]\w+)\(\)", MODEL.read_text("utf-8")))
    named = {path: kernel_functions(path) for path in sources(SOURCE)}
    assert len(set().union(*named.values())) > 100
    missing = {
        str(path.relative_to(SOURCE)): sorted(functions - model)
        for path, functions in named.items()
        if functions - model
    }
    assert missing == {}


@pytest.mark.parametrize("top", ["src", "tests", "benchmarks"])
def test_no_folder_has_more_files_than_one_holds_in_the_head(top: str) -> None:
    full = {}
    for folder in [TOP / top, *(TOP / top).rglob("*")]:
        if not folder.is_dir():
            continue
        files = {path.stem for path in folder.glob("*.p*") if path.suffix != ".pyc"}
        name = str(folder.relative_to(TOP))
        if len(files - {"__init__"}) > MOST_FILES and name not in TABLES:
            full[name] = len(files)
    assert full == {}
