"""The fidelity report: every number is within its bound, and the page says so."""

import pytest

from fidelity.__main__ import OWN, PAGE, report
from fidelity.page.bounds import Bound, Row, around, exact, factor, off_by, within
from fidelity.page.lab import Lab
from fidelity.page.layout import page


@pytest.fixture(scope="module")
def sections(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Row]]:
    """The whole report."""
    return report(lab, tmp_path_factory.mktemp("packed"))


def test_every_number_is_within_its_bound(sections: dict[str, list[Row]]) -> None:
    missed = [row for rows in sections.values() for row in rows if not row.holds]
    assert not missed
    # THEN no recording was left out
    assert len({row.replayed for row in sections[OWN]}) == 22


def test_the_page_says_what_the_command_finds(sections: dict[str, list[Row]]) -> None:
    """`make fidelity` makes it so."""
    assert PAGE.read_text() == page(sections)


def test_the_readme_quotes_the_page() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text()
    quoted = readme.split("<!-- from docs/fidelity.md -->\n")[1].split("\n\n")[0]
    lines = quoted.splitlines()
    assert len(lines) > 2
    assert set(lines) <= set(PAGE.read_text().splitlines())


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (exact(5), [5], [4, 6]),
        (within(200, 0.05), [190, 210], [189, 211]),
        (off_by(238, 51), [187, 289], [186, 290]),
        (factor(100, 2.5), [40, 250], [39, 251]),
        (around(10, 20, 0.1, "s"), [9, 22], [8.9, 22.1]),
    ],
)
def test_a_bound_lets_through_what_it_says(
    bound: Bound, inside: list[float], outside: list[float]
) -> None:
    for values, expected in ((inside, True), (outside, False)):
        for found in values:
            row = Row("a", "b", "what", "B", 1.0, found, bound)
            assert row.holds is expected


def test_a_missed_number_is_marked() -> None:
    text = page({"Memory": [Row("a", "b", "shmem", "B", 100, 90, exact(100))]})
    assert "**0 of 1 numbers are within their bounds.**" in text
    assert "| a | b | shmem | 100 B | 90 B | -10.00% | exact | **missed** |" in text


def test_the_page_begins_with_what_each_bound_holds() -> None:
    # GIVEN rows of three bounds: a share, a count and one that allows nothing
    rows = [
        Row("a", "b", "x", "s", 100, 97, within(100, 0.05)),
        Row("a", "a", "y", "s", 10, 10.4, within(10, 0.05)),
        Row("a", "b", "z", "", 3, 1, off_by(3, 2)),
        Row("a", "a", "w", "", 0, 0, exact(0)),
    ]
    text = page({"Of `this`, and that": rows})
    # THEN the strictest comes first, with what is most off of it, counts as counts
    assert (
        """
| bound | numbers | of them predicted | most off | which |
|---|---:|---:|---:|---|
| exact | 1 | 0 | 0 |  |
| ± 2 | 1 | 1 | -2 | z (b) |
| 5 % | 2 | 1 | +4.00% | y (a) |
"""
        in text
    )
    assert text.index("| bound |") < text.index("\n## Of `this`, and that\n")
    assert "[Of `this`, and that](#of-this-and-that)" in text
    assert "| a | b | z | 3 | 1 | -2 | ± 2 |  |" in text
