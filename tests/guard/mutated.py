"""A plugin for pytest: what `guard.mutants` asks for is taken from the gate."""

import os

import pytest


@pytest.hookimpl
def pytest_collection_finish() -> None:
    """Teach a shortcut a rule that it does not know: ``REPLAY_MUTANT=LEAN:cost``."""
    from replay.engine.shortcuts import KNOWS, Known, Shortcut
    from support.strategies import RULES

    shortcut, _, rule = os.environ.get("REPLAY_MUTANT", "").partition(":")
    if rule:
        names = dict.fromkeys(RULES[rule], Known("as the mutant has it"))
        KNOWS[Shortcut[shortcut]].update(names)
