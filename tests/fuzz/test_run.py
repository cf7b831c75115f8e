"""The long fuzzer, for a moment: ``make fuzz SECONDS=600`` runs it longer."""

import importlib.util
from pathlib import Path

import pytest

#: As many everywhere: a faster machine does no others.
ROUNDS = 60


def test_damaged_inputs_of_every_kind_are_read_or_refused(
    request: pytest.FixtureRequest,
) -> None:
    spec = importlib.util.spec_from_file_location(
        "fuzz_run", Path(__file__).with_name("run.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        shared = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        shared = None
    assert module.fuzz(0, 1, shared, ROUNDS) == ROUNDS
