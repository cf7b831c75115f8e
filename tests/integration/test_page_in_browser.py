"""Pages are opened in a browser: they draw and link, and load nothing."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import replay
from support.browser import NoBrowser, browser

pytest.importorskip("vl_convert")
pytest.importorskip("selenium.webdriver")

TRACES = Path(__file__).parents[2] / "traces"
HOSTILE = "/<img src=x onerror=\"document.title='ran'\">" + "x" * 200


@pytest.fixture(scope="module", name="browser")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that tells of everything that it would fetch."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(browser(tmp_path_factory.mktemp("profile")))
        except NoBrowser as reason:
            pytest.skip(str(reason))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    result = replay.run(
        TRACES / "workers-per-cgroup",
        TRACES / "workers-per-cgroup.toml",
        interval="auto",
        requests=True,
        output=place / "result",
    )
    replay.write_report({"one": result}, place / "page.html")
    return place / "page.html"


def opened(browser: Any, page: Path, width: int = 1280) -> None:
    browser.set_window_size(width, 1000)
    browser.get(page.as_uri())
    # every picture is drawn, the folded ones too
    browser.execute_script(
        "document.querySelectorAll('.figure').forEach((one) => { one.open = true; })"
    )
    browser.execute_async_script(
        """
        const done = arguments[0];
        const wait = () => {
          const places = [...document.querySelectorAll('.picture')];
          const drawn = places.every((one) => one.querySelector('svg.marks'));
          if (drawn && document.documentElement.dataset.ready) done();
          else setTimeout(wait, 50);
        };
        wait();
        """
    )


def marks(browser: Any) -> dict[str, int]:
    found: dict[str, int] = browser.execute_script(
        """
        const found = {};
        for (const one of document.querySelectorAll('.picture')) {
          found[one.id] = one.querySelectorAll(
            '[class*="mark-"][class*="role-mark"] path, ' +
            '[class*="mark-"][class*="role-mark"] text').length;
        }
        return found;
        """
    )
    return found


def wider(browser: Any) -> list[str]:
    """Pictures that do not fit their place."""
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('.picture')]"
        ".filter((one) => one.scrollWidth > one.clientWidth + 2).map((one) => one.id)"
    )
    return found


def complaints(browser: Any) -> list[str]:
    # a specification that Vega warns of is drawn all the same
    return [
        one["message"]
        for one in browser.get_log("browser")
        if one["level"] == "SEVERE" and "favicon" not in one["message"]
    ]


KINDS = (
    *("sweep", "grid", "curve", "calibration", "comparison", "dataset", "trace"),
    *("hundred", "empty", "losses"),
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of each kind of thing."""
    place = tmp_path_factory.mktemp("pages")
    seed, toml = TRACES / "seed-unlimited", TRACES / "seed-unlimited.toml"
    root = TRACES / "workers-root"
    limit = "/test.slice/memory.high=64M,512M"
    replay.batch(seed, toml, policies=["root", "enospc"], output=place / "d", jobs=1)
    dataset = replay.open_dataset(place / "d")
    names = [row["scenario"] for row in dataset.runs.to_pylist()]
    lines = ["t,at,n,rw,who"]
    lines += [f"{i * 100},{i * 8},4096,W,/c{i % 100}" for i in range(1000)]
    (place / "many.csv").write_text("\n".join(lines) + "\n")
    hundred = replay.FormatOptions(
        name="csv", columns="time=t:us,offset=at:sectors,size=n:B,op=rw,cgroup=who"
    )
    (place / "torn").write_bytes(next(seed.glob("*blktrace*")).read_bytes()[:-20])
    things = {
        "sweep": replay.sweep(seed, toml, vary=[limit], jobs=1),
        "grid": replay.sweep(
            seed, toml, vary=[limit, "driver.policy=naive,enospc"], jobs=1
        ),
        "curve": replay.curve(seed),
        "calibration": replay.calibrate(root),
        "comparison": dataset.compare(*names),
        "dataset": dataset,
        "trace": replay.convert(TRACES / "fs-on-loop", place / "t.arrow"),
        "hundred": replay.run(place / "many.csv", format=hundred, interval="auto"),
        "empty": replay.run(seed, filters=replay.Filters(ops=("discard",))),
        "losses": replay.run(place / "torn", interval="auto"),
    }
    for name in KINDS:
        replay.write_report(things[name], place / f"{name}.html")
    return place


@pytest.mark.parametrize("kind", KINDS)
def test_pages_of_all_kinds_are_drawn(browser: Any, pages: Path, kind: str) -> None:
    opened(browser, pages / f"{kind}.html")
    found = marks(browser)
    assert [name for name, n in found.items() if not n] == []
    assert bool(found) == (kind != "empty")
    assert complaints(browser) == []
    assert wider(browser) == []
    text = browser.find_element("css selector", "main").text
    if kind == "hundred":
        assert "12 of 100 cgroups" in text
    if kind == "losses":
        assert "truncated_bytes" in browser.page_source


def test_a_click_on_a_pair_picks_its_trace(browser: Any, pages: Path) -> None:
    opened(browser, pages / "dataset.html")
    (chip,) = browser.find_elements("css selector", ".chip")
    browser.execute_script(
        "document.querySelector('#picture-pairs .mark-rect path')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    browser.execute_async_script("setTimeout(arguments[0], 300)")
    assert chip.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("width", [1280, 390])
def test_every_picture_has_marks_and_nothing_is_wrong(
    browser: Any, page: Path, width: int
) -> None:
    opened(browser, page, width)
    found = marks(browser)
    assert len(found) == 11
    assert [name for name, n in found.items() if not n] == []
    assert complaints(browser) == []
    # nothing was fetched but the page
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map((one) => one.name)"
    )
    assert [one for one in fetched if not one.startswith(("data:", "blob:"))] == []
    # neither the page nor a picture scrolls sideways
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth"
    )
    assert wider(browser) == []


def test_a_click_on_a_cgroup_filters_and_escape_clears(
    browser: Any, page: Path
) -> None:
    opened(browser, page)
    before = marks(browser)["picture-requests"]
    chips = browser.find_elements("css selector", ".chip")
    (chip,) = [one for one in chips if one.text == "/b"]
    chip.click()
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    some = marks(browser)["picture-requests"]
    assert 0 < some < before
    assert chip.get_attribute("aria-pressed") == "true"
    rows = browser.execute_script(
        "return [...document.querySelectorAll('tbody tr')]"
        ".filter((one) => !one.hidden).map((one) => one.textContent)"
    )
    assert rows
    assert all("/b" in row for row in rows)
    browser.find_element("css selector", "body").send_keys("\ue00c")
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert marks(browser)["picture-requests"] == before


def test_a_table_is_sorted_by_a_click(browser: Any, page: Path) -> None:
    opened(browser, page)
    browser.execute_script("document.getElementById('table-latency').open = true")
    column = "return [...document.querySelectorAll('#table-latency tbody tr')]"
    column += ".map((one) => one.cells[4].textContent)"
    for button in browser.find_elements("css selector", "#table-latency th button"):
        if button.text == "count":
            button.click()
    counts = [int(one.replace(",", "")) for one in browser.execute_script(column)]
    # the largest first, as one looks for them
    assert counts == sorted(counts, reverse=True)


def test_hostile_names_stay_text(browser: Any, tmp_path: Path) -> None:
    # GIVEN a cgroup whose name is markup of a few hundred characters
    ids = tmp_path / "ids"
    given = (TRACES / "seed-unlimited" / "ids").read_text()
    number = given.split()[given.split().index("/test.slice") - 1]
    ids.write_text(f"{number} {HOSTILE}\n")
    result = replay.run(TRACES / "seed-unlimited", cgroups=ids, interval="auto")
    replay.write_report({HOSTILE: result}, tmp_path / "page.html")
    opened(browser, tmp_path / "page.html")
    # THEN it is shown, and did not run
    assert HOSTILE[:40] in browser.find_element("css selector", "nav").text
    assert browser.title != "ran"
    assert browser.find_elements("css selector", "img") == []
    assert complaints(browser) == []
