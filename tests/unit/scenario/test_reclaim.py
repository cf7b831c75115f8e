"""By which rules page cache is reclaimed: what is asked for, else the kernel's."""

from typing import Any

import pytest

from replay.engine.setup import Mglru
from replay.scenario.bind import Binding, bind
from replay.scenario.keys.load import Scenario
from support.traces import make_trace


def bound(kernel: str, reclaim: str | None) -> Binding:
    backing: dict[str, Any] = {"filesystem": "ext4"}
    if reclaim is not None:
        backing["reclaim"] = reclaim
    scenario = {
        "driver": {"kernel": kernel},
        "backing": backing,
        "cgroups": {"/test.slice": {"memory.max": "8M"}},
    }
    return bind(Scenario.from_dict(scenario), make_trace())


@pytest.mark.parametrize(
    ("kernel", "reclaim", "rules"),
    [
        ("6.1", None, Mglru.NONE),
        ("6.12", None, Mglru.V6_12),
        ("6.14", None, Mglru.V6_14),
        ("6.18", None, Mglru.V6_14),
        ("7.2", None, Mglru.V7_2),
        ("7.3", "classic", Mglru.NONE),
        ("6.1", "mglru", Mglru.V6_12),
        ("5.10", "mglru", Mglru.NONE),
        ("7.3", "lru", Mglru.NONE),
    ],
)
def test_rules_are_the_kernels(kernel: str, reclaim: str | None, rules: Mglru) -> None:
    assert bound(kernel, reclaim).setup.mglru == rules


def test_what_is_taken_for_granted_is_told() -> None:
    assert any("is taken to be on" in note for note in bound("7.3", None).notes)
    assert not any("is taken to be on" in note for note in bound("7.3", "mglru").notes)
    assert any(
        "driver.kernel 5.10 has no multi-generational LRU" in note
        for note in bound("5.10", "mglru").notes
    )
