"""A bound on how many tests may be skipped: REPLAY_MAX_SKIPS=N."""

import os

import pytest


class Skips:
    """Counts skipped tests; the process that reports to the user has them all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._nodes: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._nodes.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if len(self._nodes) > self._most and not hasattr(session.config, "workerinput"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        if len(self._nodes) > self._most:
            terminalreporter.write_line(
                f"{len(self._nodes)} tests were skipped, and REPLAY_MAX_SKIPS allows "
                f"{self._most}",
                red=True,
            )


def pytest_configure(config: pytest.Config) -> None:
    """Count skipped tests, if there is a most."""
    if most := os.environ.get("REPLAY_MAX_SKIPS"):
        config.pluginmanager.register(Skips(int(most)))
