"""Whose kernel's rules hold, and what is said of them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from replay.scenario.bind import Binding, bind
from replay.scenario.keys.load import Scenario
from replay.trace.convert import open_or_convert
from replay.trace.inputs.find import find_inputs
from support.blktrace import write_set, writes
from support.traces import FakeTrace, make_trace


def bound(kernel: str | None, *overrides: str) -> Binding:
    trace = make_trace()
    recorded = FakeTrace(replace(trace.metadata, kernel=kernel), list(trace.batches()))
    named = ("backing.filesystem=tmpfs", *overrides)
    return bind(Scenario.from_dict({}, overrides=named), recorded)


def test_kernel_of_the_recording_is_whose_rules_hold() -> None:
    binding = bound("7.3.4+deb13-cloud-amd64")
    assert str(binding.scenario.trace.kernel) == "7.3.4+deb13-cloud-amd64"
    assert binding.scenario.driver.kernel == binding.scenario.trace.kernel
    assert not binding.setup.lock_per_page
    # AND without one they are those of 6.1
    assert str(bound(None).scenario.driver.kernel) == "6.1"
    assert bound(None).setup.lock_per_page


def test_recording_before_5_14_is_replayed_as_its_own_driver() -> None:
    driver = bound("5.10.0-32-cloud-amd64").scenario.driver
    assert driver.policy == "root"
    # unless another is asked for: then the trace is still the old driver's
    asked = bound("5.10.0-32-cloud-amd64", "driver.kernel=6.1").scenario
    assert (asked.trace.policy, asked.driver.policy) == ("root", "per-cgroup")


@pytest.mark.parametrize(
    ("recorded", "overrides", "word"),
    [
        (
            "6.1.0",
            ["driver.policy=root"],
            "has per-cgroup and never",
        ),
        ("5.10.0", ["driver.policy=per-cgroup"], "has root and never"),
        ("5.10.0", ["driver.variant=v5"], "had none of them"),
        (None, ["driver.kernel=7.4"], "taken to be those of 7.3"),
        ("5.14.0-427.el9.x86_64", [], "takes changes of later kernels"),
        ("6.12.50", [], "taken to be so: a buffered request is a call for each"),
        ("6.12.0-5-amd64", [], "it may be as later"),
        ("6.1.0", ["trace.kernel=6.12"], "as its file `kernel` says"),
    ],
)
def test_what_a_kernel_never_had_or_nobody_knows_is_noted(
    recorded: str | None, overrides: list[str], word: str
) -> None:
    assert any(word in note for note in bound(recorded, *overrides).notes)


def test_policy_of_no_kernel_is_not_noted_as_another_kernels() -> None:
    notes = bound("6.1.0", "driver.policy=synchronous", "trace.policy=per-cgroup").notes
    assert not any("never had this" in note for note in notes)


def test_rule_that_changes_nothing_in_a_replay_is_not_noted() -> None:
    assert not any("taken to be so" in one for one in bound("6.9").notes)
    limit = "/test.slice/io.max=8:0 wbps=4M"
    notes = bound("6.9", limit, "backing.device=8:0", "driver.direct_io=true").notes
    assert any("metadata waits for io.max" in one for one in notes)


@pytest.mark.parametrize("name", ["", "loop0", "loop0.blktrace.0"])
def test_kernel_of_a_capture_is_read_beside_it(tmp_path: Path, name: str) -> None:
    write_set(tmp_path, "loop0", cpu0=writes(4))
    (tmp_path / "kernel").write_text("5.10.0-32-cloud-amd64\n")
    with open_or_convert(tmp_path / name) as trace:
        assert trace.metadata.kernel == "5.10.0-32-cloud-amd64"


def test_captures_of_two_kernels_have_none_in_common(tmp_path: Path) -> None:
    for name, kernel in (("a", "5.10.1"), ("b", "6.1.2")):
        (tmp_path / name).mkdir()
        write_set(tmp_path / name, "loop0", cpu0=writes(4))
        (tmp_path / name / "kernel").write_text(kernel)
    assert find_inputs([tmp_path / "a", tmp_path / "b"]).kernel is None
