"""The pictures of the docs: ``make pictures`` draws them anew from the recordings."""

import tempfile
from pathlib import Path
from typing import Any

import replay
from support.browser import NoBrowser, browser

TOP = Path(__file__).parents[2]
TRACES = TOP / "traces"
PICTURES = TOP / "docs" / "pictures"
#: Width, and whether the reader prefers dark.
WINDOWS = {
    "page-1280": (1280, False),
    "page-390": (390, False),
    "page-dark": (1280, True),
}


def main() -> None:
    """Draw all of them into ``docs/pictures``."""
    disk = replay.run(
        TRACES / "packed" / "real-disk" / "p1-both.tar.zst", requests=True
    )
    disk.plot()["requests"].save(PICTURES / "shared-disk.png", overwrite=True)
    recorded = replay.run(
        TRACES / "workers-root",
        TRACES / "workers-root.toml",
        overrides=["driver.policy=root", "arrivals.mode=recorded"],
    )
    replayed = replay.run(
        TRACES / "workers-per-cgroup",
        TRACES / "workers-per-cgroup.toml",
        interval="auto",
        requests=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        replay.write_report({"recorded": recorded, "replayed": replayed}, page)
        from replay.report.html.pictures import pictures
        from replay.report.html.static import write_chart

        both = pictures({"recorded": recorded, "replayed": replayed})
        latency = [one for one in both if one.name == "latency"]
        write_chart(latency, PICTURES / "shared-worker.svg", overwrite=True)
        replay.write_report(replayed, page, overwrite=True)
        try:
            _photograph(page)
        except NoBrowser as reason:
            print(f"no pictures of the page: {reason}")


def _photograph(page: Path) -> None:
    """Take pictures of a page as a browser shows it, without its folded parts."""
    with (
        tempfile.TemporaryDirectory() as profile,
        browser(Path(profile), "--hide-scrollbars") as shown,
    ):
        for name, (width, dark) in WINDOWS.items():
            _resize(shown, width, 1000)
            shown.execute_cdp_cmd(
                "Emulation.setEmulatedMedia",
                {
                    "features": [
                        {
                            "name": "prefers-color-scheme",
                            "value": "dark" if dark else "light",
                        }
                    ]
                },
            )
            shown.get(page.as_uri())
            shown.execute_async_script("setTimeout(arguments[0], 3000)")
            height = shown.execute_script("return document.body.scrollHeight")
            _resize(shown, width, min(height, 1800))
            shown.save_screenshot(str(PICTURES / f"{name}.png"))


def _resize(browser: Any, width: int, height: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": width < 600,
        },
    )


if __name__ == "__main__":
    main()
