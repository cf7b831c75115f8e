"""A headless Chromium, where one is installed. Whatever it does, it ends.

Selenium waits for an answer without end by itself: a browser that hangs held up a whole
run of the tests.
"""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

#: How long a page and its scripts may take.
PATIENCE_S: Final = 60
#: How long chromedriver may take to answer: it tells of what took longer than that.
_ANSWER_S: Final = PATIENCE_S + 30
_ATTEMPTS: Final = 2


class NoBrowser(Exception):
    """None is installed, or it does not start here."""


@contextmanager
def browser(profile: Path, *arguments: str) -> Iterator[Any]:
    """Start a browser with an empty profile; it is gone at the end.

    Parameters
    ----------
    profile : Path
        A directory for what it writes.
    *arguments : str
        Of its command line, beside those that every page here wants.

    Yields
    ------
    selenium.webdriver.Chrome

    Raises
    ------
    NoBrowser
        It is not installed, or did not start twice.
    """
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise NoBrowser("chromium and chromium-driver are not installed")
    for attempt in range(_ATTEMPTS):
        service, options = _service(driver), _options(program, profile / f"{attempt}")
        for one in arguments:
            options.add_argument(one)
        try:
            started = _started(service, options)
        except Exception as error:
            _kill(service)
            reason = str(error).split("\n", 1)[0] or type(error).__name__
            continue
        try:
            yield started
            started.quit()
        finally:
            _kill(service)
        return
    raise NoBrowser(f"chromium does not start here: {reason}")


def _options(program: str, profile: Path) -> Any:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for one in (
        *("--headless", "--no-sandbox", "--disable-background-networking"),
        # of shared memory a container may have little
        *("--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        f"--user-data-dir={profile}",
    ):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return options


def _service(driver: str) -> Any:
    from selenium import webdriver

    # a session of its own: the browser is killed with it
    return webdriver.ChromeService(
        executable_path=driver, popen_kw={"start_new_session": True}
    )


def _started(service: Any, options: Any) -> Any:
    from selenium import webdriver

    before = socket.getdefaulttimeout()
    # what Selenium takes for its connection
    socket.setdefaulttimeout(_ANSWER_S)
    try:
        started = webdriver.Chrome(options=options, service=service)
    finally:
        socket.setdefaulttimeout(before)
    started.set_script_timeout(PATIENCE_S)
    started.set_page_load_timeout(PATIENCE_S)
    started.get("about:blank")
    return started


def _kill(service: Any) -> None:
    process = getattr(service, "process", None)
    if process is None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
