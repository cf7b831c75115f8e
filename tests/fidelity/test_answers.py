"""What is answered changes with `MODEL_VERSION` alone."""

import pytest

from fidelity import answers
from replay.common.version import MODEL_VERSION


def test_the_kept_answers_are_those_of_the_models_version() -> None:
    kept = answers.kept()
    assert kept["model_version"] == MODEL_VERSION
    assert list(kept["answers"]) == list(answers.RECORDINGS)


@pytest.mark.parametrize("name", answers.RECORDINGS)
def test_answers_are_those_that_were_kept(name: str) -> None:
    # GIVEN the answers of the last change to the model
    kept = answers.kept()["answers"][name]
    # THEN they are today's: else raise MODEL_VERSION, if this is the first change since
    # the last release, and write them: python -m fidelity.answers
    assert answers.answer(name) == kept
