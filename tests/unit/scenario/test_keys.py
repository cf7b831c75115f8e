import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from replay.scenario.docs import scenario as docs
from replay.scenario.keys import values
from replay.scenario.keys.table import (
    ASSIGN_KEYS,
    CGROUP_KEYS,
    KEYS,
    SECTION_KEYS,
    TASK_KEYS,
    Key,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.path))
def test_every_key_has_a_valid_default_and_a_line_of_text(key: Key) -> None:
    value = key.default_value()
    # a default is given or described, not both
    assert (key.default is None) == bool(key.default_text)
    assert key.text
    assert "\n" not in key.text
    if key.default is not None:
        shown = key.kind.show(value)
        assert key.kind.parse(shown) == value
        json.dumps(shown)


def test_every_key_belongs_to_one_group() -> None:
    groups = [SECTION_KEYS, ASSIGN_KEYS, CGROUP_KEYS, TASK_KEYS]
    assert sum(len(group) for group in groups) == len(KEYS)
    assert len({key.path for key in KEYS}) == len(KEYS)


def leaves(cls: Any, prefix: str) -> list[str]:
    found = []
    for field, type_ in cls.__annotations__.items():
        name = f"{prefix}{field}"
        is_section = isinstance(type_, type(Struct))
        found += leaves(type_, f"{name}.") if is_section else [name]
    return found


def test_values_have_a_field_for_every_key_and_no_other() -> None:
    sections = {
        "trace": values.TraceValues,
        "driver": values.DriverValues,
        "arrivals": values.ArrivalsValues,
        "backing": values.BackingValues,
        "service": values.ServiceValues,
        "disk": values.DiskValues,
        "machine": values.MachineValues,
    }
    named = [leaf for name, cls in sections.items() for leaf in leaves(cls, f"{name}.")]
    assert named == list(SECTION_KEYS)
    assert leaves(values.AssignValues, "") == list(ASSIGN_KEYS)
    assert sorted(leaves(values.TaskValues, "")) == sorted(TASK_KEYS)
    cgroup = {name.replace(".", "_") for name in CGROUP_KEYS}
    assert set(leaves(values.CgroupValues, "")) == cgroup | {"path", "tasks"}


def test_document_is_current() -> None:
    """`python -m replay.scenario.docs.scenario > docs/scenario.md` makes it so."""
    assert (ROOT / "docs/scenario.md").read_text() == docs.document()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.path))
def test_document_describes_every_key(key: Key) -> None:
    lines = [line for line in docs.document().splitlines() if key.text in line]
    assert any(key.name.split(".")[-1] in line for line in lines)
