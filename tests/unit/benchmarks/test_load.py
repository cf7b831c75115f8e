"""Figures of load: they stand where the page has its marks, and nowhere else."""

import pytest

from benchmarks.load import BEGIN, END, PAGE, Load, section, written


def test_figures_replace_those_that_stood_there() -> None:
    found = section([Load("1 event", "1 MB")], "python -m benchmarks.load")
    page = f"# Title\n{BEGIN}\nold\n{END}\nmore\n"
    new = written(page, found)
    assert "| 1 event | 1 MB |" in new
    assert "`python -m benchmarks.load`" in new
    assert "old" not in new
    assert new.startswith("# Title\n")
    assert new.endswith(f"{END}\nmore\n")
    # AND again, nothing changes
    assert written(new, found) == new


def test_a_page_without_a_place_for_them_is_no_page() -> None:
    with pytest.raises(ValueError, match="no <!-- load -->"):
        written("# Title\n", "figures")


def test_the_page_has_a_place_for_them() -> None:
    assert written(PAGE.read_text(), "made here").count("made here") == 1
