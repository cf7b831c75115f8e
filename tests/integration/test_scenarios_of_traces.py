"""Each scenario of ``traces/`` bound to its recording."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay.scenario.bind import Binding, bind
from replay.scenario.keys.load import Scenario
from replay.trace.convert import convert
from replay.trace.file.read import Trace
from replay.trace.file.schema import OPS

TRACES = Path(__file__).parents[2] / "traces"
#: Of one device; the other one is looked at in tests/fidelity/test_nested.py.
NAMES = sorted({path.stem for path in TRACES.glob("*.toml")} - {"loop-on-loop"})


@pytest.fixture(scope="module", params=NAMES)
def bound(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trace, Binding, dict[str, Any]]:
    """A trace, its scenario bound to it, and the kernel's counters."""
    name = request.param
    output = tmp_path_factory.mktemp(name) / "trace.arrow"
    trace = convert([TRACES / name], output)
    binding = bind(Scenario.load(TRACES / f"{name}.toml"), trace)
    return trace, binding, json.loads((TRACES / name / "expected.json").read_text())


def issued(trace: Trace, binding: Binding) -> dict[str, Counter[str]]:
    """What each cgroup itself issued, by the names of ``io.stat``."""
    found: dict[str, Counter[str]] = {}
    for batch in trace.batches():
        issuers = binding.resolver.resolve(batch).recorded
        ops = batch.column("op").indices.to_pylist()
        nbytes = batch.column("nbytes").to_pylist()
        bios = batch.column("n_bios").to_pylist()
        for issuer, op, size, n_bios in zip(issuers, ops, nbytes, bios, strict=True):
            kind = {"read": "r", "discard": "d"}.get(OPS[op], "w")
            cgroup = found.setdefault(binding.cgroup_names[issuer], Counter())
            cgroup[f"{kind}bytes"] += size
            cgroup[f"{kind}ios"] += n_bios
    return found


def test_rows_of_each_cgroup_are_what_the_kernel_counted_for_it(
    bound: tuple[Trace, Binding, dict[str, Any]],
) -> None:
    trace, binding, expected = bound
    rows = issued(trace, binding)
    checked = 0
    for path, counters in expected["end"].items():
        # the root's io.stat is the disk's, a parent's holds its children's
        stat = counters.get("io.stat", {}).get("7:0")
        if path == "/" or stat is None or path not in rows:
            continue
        assert {name: rows[path][name] for name in stat} == stat
        checked += 1
    # with the io controller off, everything is recorded as the root's
    assert checked or binding.assigns


def test_scenario_fits_its_recording(
    bound: tuple[Trace, Binding, dict[str, Any]],
) -> None:
    _, binding, expected = bound
    assert {*expected["end"]} <= {*binding.cgroup_names}
    assert not any(name.startswith("id:") for name in binding.cgroup_names)
    assert binding.device_names == ["7:0"]
    # nothing is assumed but that another driver is asked for
    assert all("never had this" in note for note in binding.notes)
    for task in binding.tasks:
        assert task.n_requests


def test_every_row_has_an_issuer_and_limited_cgroups_have_tasks(
    bound: tuple[Trace, Binding, dict[str, Any]],
) -> None:
    trace, binding, _ = bound
    setup = binding.setup
    limited = np.flatnonzero(setup.memory_max >= 0)
    for batch in trace.batches():
        resolved = binding.resolver.resolve(batch)
        assert resolved.issuer.max() < len(setup.parent)
        assert not resolved.device_idx.any()
        if len(limited):
            assert resolved.task is not None
            assert (resolved.task >= 0).all()
