"""CONTRIBUTING's lists: their places exist, and what is there stands in all of them."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from replay.cli.main import COMMANDS
from replay.engine.setup import Setup
from replay.scenario.keys import kernel_rules
from replay.scenario.keys.table import KEYS
from replay.trace.formats.registry import FORMATS
from support.samples import SAMPLES, UNTOLD

TOP = Path(__file__).parents[1]
TEXT = (TOP / "CONTRIBUTING.md").read_text("utf-8")
ROOMS = "src|tests|docs|benchmarks|traces|changes"
#: Options and the like are no paths.
PATH = re.compile(rf"`((?:{ROOMS})/[\w./*-]*|[A-Z]+\.md|README\.md)`")


CHANGES = TOP / "changes"
PACKAGE = TOP / "src" / "replay"
ENGINE = PACKAGE / "engine"
#: Fields that stand in a place without their name: an f-string makes it, or the
#: reference has a method for each.
UNNAMED = {
    *((f"disk_{name}", "maker") for name in ("descriptors", "requeue_ns", "delay_ns")),
    ("mode", "reference"),
}


def section(title: str) -> str:
    """Return the text below a heading."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_place_that_is_named_exists() -> None:
    named = PATH.findall(TEXT)
    assert len(named) > 30
    assert [name for name in named if not (TOP / name).exists()] == []


def test_every_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"`make ([a-z-]+)", TEXT))
    made = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    assert targets >= {"test", "debug", "sanitize", "mutants", "fidelity"}
    assert targets - made == set()


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_every_format_stands_where_the_list_says(one: object) -> None:
    assert "registry.py" in section("Add an input format")
    name = getattr(one, "name")  # noqa: B009
    assert name in SAMPLES | UNTOLD
    assert f"`{name}`" in (TOP / "docs" / "formats.md").read_text("utf-8")
    folder = TOP / "src" / "replay" / "trace" / "formats"
    assert [p.name for p in folder.glob("*.py") if f'name="{name}"' in p.read_text()]


def test_every_key_stands_where_the_list_says() -> None:
    assert "docs/scenario.md" in section("Add a key of a scenario")
    shown = (TOP / "docs" / "scenario.md").read_text("utf-8")
    values = (TOP / "src/replay/scenario/keys/values.py").read_text("utf-8")
    for key in KEYS:
        assert f"`{key.name}`" in shown or key.name.partition(".")[2] in shown, key.path
        field = key.name.rpartition(".")[2]
        assert field in values, key.path


def texts(*paths: Path) -> str:
    """Return what files say."""
    return "".join(path.read_text("utf-8") for path in paths)


def test_every_field_of_a_rule_stands_where_the_list_says() -> None:
    said = section("Add a modelled rule")
    for name in ("setup.py", "_engine.pyx", "reference/", "make.py", "strategies.py"):
        assert name in said, name
    setup = ENGINE / "setup.py"
    others = [path for path in PACKAGE.rglob("*.py") if ENGINE not in path.parents]
    # a property of the setup may read it for the engine and for the reference
    read = r"\b(?:setup|self)\.{}\b"
    places = {
        "engine": (read, texts(setup, *ENGINE.rglob("*.p[yx][xd]"))),
        "reference": (read, texts(setup, *(ENGINE / "reference").rglob("*.py"))),
        "maker": (r'\b{}=|"{}"', texts(*others)),
        "random set-ups": (
            r'"{}"(?:: |\] = )',
            texts(TOP / "tests" / "support" / "strategies.py"),
        ),
    }
    # THEN no rule is one that nobody switches on, or that is compared nowhere
    assert {
        (name, place)
        for name in Setup.__struct_fields__
        for place, (form, text) in places.items()
        if not re.search(form.replace("{}", name), text)
    } == UNNAMED


def test_every_rule_of_a_kernel_stands_where_the_list_says() -> None:
    assert "kernel_rules.py" in section("Add a modelled rule")
    shown = (TOP / "docs" / "kernels.md").read_text("utf-8")
    table = Path(kernel_rules.__file__)
    used = texts(*(path for path in PACKAGE.rglob("*.py") if path != table))
    rules = {
        name: rule
        for name, rule in vars(kernel_rules).items()
        if isinstance(rule, kernel_rules.Rule)
    }
    assert {*rules.values()} == {*kernel_rules.RULES}
    for name, rule in rules.items():
        # a rule of an area that the page does not know is left out of it
        assert f"| {rule.before} | {rule.after} |" in shown, name
        assert f"{name}.holds(" in used, name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_where_the_list_says(name: str) -> None:
    assert "docs/man/" in section("Add a command")
    assert (TOP / "src" / "replay" / "cli" / f"{name}.py").is_file()
    assert (TOP / "docs" / "man" / f"replay-{name}.1").is_file()
    tests = "".join(path.read_text() for path in (TOP / "tests/cli").glob("test_*.py"))
    assert re.search(rf'"{name}"', tests), "no test in tests/cli calls it"
    pages = [TOP / "README.md", *(TOP / "docs").glob("*.md")]
    assert any(f"replay {name}" in page.read_text("utf-8") for page in pages)


def test_changes_have_a_section_each_and_answers_come_first(tmp_path: Path) -> None:
    told = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["tool"]
    sections = [one["directory"] for one in told["towncrier"]["type"]]
    shown = (CHANGES / "README.md").read_text("utf-8")
    assert re.findall(r"^\| `(\w+)` \|", shown, re.MULTILINE) == sections
    for path in CHANGES.iterdir():
        if path.name not in ("README.md", "template.md.jinja"):
            assert path.suffix == ".md", path
            assert path.suffixes[-2].lstrip(".") in sections, path
    # WHEN a version is made of two changes
    pytest.importorskip("towncrier")
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "changes").mkdir()
    shutil.copy(CHANGES / "template.md.jinja", tmp_path / "changes")
    (tmp_path / "changes" / "+a.traces.md").write_text("One\nmore format.\n")
    (tmp_path / "changes" / "b.answers.md").write_text("Another answer.\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "towncrier", "build", "--draft"),
            *("--version", "9.9.9", "--date", "2030-01-02"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    # THEN they are in the form of all, answers first
    assert done.stdout.rstrip().endswith(
        "## 9.9.9 (2030-01-02)\n\n**What changed in answers**\n- Another answer.\n\n"
        "**Traces**\n- One\n  more format."
    )
    # and they go above the last version's
    start = "<!-- towncrier release notes start -->\n\n## "
    assert (TOP / "CHANGELOG.md").read_text("utf-8").count(start) == 1
