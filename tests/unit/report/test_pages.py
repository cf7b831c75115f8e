"""Every class that is shown has a page, and no page is of a class that is not."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import RenderableType

import replay
from replay.common.shown import Shown
from replay.report.pages import PAGES, page_of, text_of
from support import results as made

SOURCE = Path(replay.__file__).parent


def shown_classes() -> set[str]:
    found = set()
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(
                ast.unparse(base) == Shown.__name__ for base in node.bases
            ):
                found.add(f"{'.'.join(parts)}.{node.name}")
    return found


def test_every_class_that_is_shown_has_a_page() -> None:
    assert shown_classes() == set(PAGES)


@pytest.mark.parametrize("kind", PAGES)
def test_page_of_a_class_takes_it(kind: str) -> None:
    module, _, name = kind.rpartition(".")
    shown = getattr(import_module(module), name)
    assert issubclass(shown, Shown)
    place, function = PAGES[kind]
    page = getattr(import_module(place), function)
    first, *_ = page.__annotations__
    assert page.__annotations__[first] is shown
    assert page.__annotations__["return"] is RenderableType


def test_text_of_a_result_is_its_summary() -> None:
    result = made.result()
    assert result.text() == result.summary() == text_of(result)


def test_what_has_no_page_is_refused() -> None:
    class Bare(Shown):
        pass

    with pytest.raises(TypeError, match="Bare has no page"):
        page_of(Bare())
