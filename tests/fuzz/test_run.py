"""The long fuzzer, for a moment: ``make fuzz SECONDS=600`` runs it longer."""

import importlib.util
import os
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("REPLAY_FUZZ_SECONDS", "3"))


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
    assert module.fuzz(SECONDS, 1, shared) > 0
