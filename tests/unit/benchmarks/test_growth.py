"""How cost grows: lines are fitted right, the page says what was measured."""

from pathlib import Path

import pytest

from benchmarks.growth import AXES, Point, line, page, plot


def points() -> list[Point]:
    return [
        Point(axis.name, amount, 0.5 + amount * 1e-9, 50.0)
        for axis in AXES
        for amount in axis.amounts
    ]


def test_a_straight_line_is_found_and_a_bend_is_told() -> None:
    of_one = [one for one in points() if one.axis == "requests"]
    slope, off = line(of_one, "seconds")
    assert slope == pytest.approx(1e-9)
    assert off == pytest.approx(0, abs=1e-9)
    # GIVEN a last point that takes twice the time
    last = of_one[-1]
    bent = [*of_one[:-1], Point("requests", last.amount, 2 * last.seconds, 50)]
    assert line(bent, "seconds")[1] > 0.05


def test_the_page_has_a_line_for_every_point_and_axis() -> None:
    text = page(points(), "python -m benchmarks.growth")
    assert text.count("| requests | ") == len(AXES[0].amounts) + 1
    assert "| distinct pages | 262,144 | 0.50 s | 50 MB |" in text
    assert "| distinct pages | 1 ns | 0% | " in text


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    plot(points(), tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    assert text.startswith("<svg")
    assert "distinct pages" in text
