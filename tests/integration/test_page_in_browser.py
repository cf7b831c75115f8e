"""Pages are opened in a browser: they draw and link, and load nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import replay

pytest.importorskip("vl_convert")
webdriver = pytest.importorskip("selenium.webdriver")

TRACES = Path(__file__).parents[2] / "traces"
HOSTILE = "/<img src=x onerror=\"document.title='ran'\">" + "x" * 200


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that tells of everything that it would fetch."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for one in (
        *("--headless", "--no-sandbox", "--disable-background-networking"),
        *("--disable-gpu", f"--user-data-dir={tmp_path_factory.mktemp('profile')}"),
    ):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=driver)
    )
    started.set_script_timeout(60)
    yield started
    started.quit()


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


def complaints(browser: Any) -> list[str]:
    # a specification that Vega warns of is drawn all the same
    return [
        one["message"]
        for one in browser.get_log("browser")
        if one["level"] == "SEVERE" and "favicon" not in one["message"]
    ]


@pytest.mark.parametrize("width", [1280, 390])
def test_every_picture_has_marks_and_nothing_is_wrong(
    browser: Any, page: Path, width: int
) -> None:
    opened(browser, page, width)
    found = marks(browser)
    assert len(found) == 8
    assert [name for name, n in found.items() if not n] == []
    assert complaints(browser) == []
    # nothing was fetched but the page
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map((one) => one.name)"
    )
    assert [one for one in fetched if not one.startswith(("data:", "blob:"))] == []
    # the page itself does not scroll sideways
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth"
    )


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
