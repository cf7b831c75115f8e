"""The table of policies, and what binding makes of each."""

from pathlib import Path
from typing import Any

import pytest

from replay.common.errors import ScenarioError
from replay.engine.setup import Policy
from replay.scenario.bind import Binding, bind
from replay.scenario.docs import policies as policy_docs
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.policies import POLICIES
from replay.scenario.keys.table import SECTION_KEYS
from support.traces import DISK, LOOP, make_trace

ROOT = Path(__file__).parents[3]
MD = 9 << 20
TWO_LOOPS = [{"device": LOOP}, {"device": LOOP + 1}]
PATHS = {1: "/", 23: "/a"}


def bound(trace: Any, *overrides: str) -> Binding:
    return bind(Scenario.from_dict({}, overrides=overrides), trace)


def test_document_is_current() -> None:
    """`python -m replay.scenario.docs.policies > docs/policies.md` makes it so."""
    assert (ROOT / "docs/policies.md").read_text() == policy_docs.document()


@pytest.mark.parametrize("row", POLICIES, ids=lambda row: str(row.name))
def test_every_policy_binds_to_its_engines_policy(row: Any) -> None:
    more = ["driver.instance=/a"] if row.name == "instance" else []
    binding = bound(make_trace(), f"driver.policy={row.name}", *more)
    assert binding.setup.policy == row.engine
    assert binding.setup.trace_policy == Policy.PER_CGROUP
    assert row.name in SECTION_KEYS["driver.policy"].kind.text


# --- postings


@pytest.mark.parametrize(
    ("variant", "most", "root", "idle", "leaks"),
    [
        ("v1", [], True, False, False),
        ("v3", [0, 1, 512], True, True, False),
        ("v5", [0, 1, 512], True, True, True),
        ("v6", [0, 1, 512], True, True, False),
        ("v11", [0, 1, 512], True, True, False),
        ("v12", [], True, True, False),
        ("v13", [], True, True, False),
        ("v14", [], False, True, False),
    ],
)
def test_variant_sets_what_it_changes(
    variant: str, most: list[int], root: bool, idle: bool, leaks: bool
) -> None:
    # GIVEN loop0, loop1 and loop4000
    trace = make_trace([{"device": LOOP + number} for number in (0, 1, 4000)])
    setup = bound(trace, f"driver.variant={variant}").setup
    found = (setup.root_has_worker, setup.keeps_idle, setup.leaks_css)
    assert setup.max_active.tolist() == most
    assert found == (root, idle, leaks)
    # AND nothing of it with a policy that is none of the series
    other = bound(trace, f"driver.variant={variant}", "driver.policy=naive")
    assert not other.setup.max_active.any()
    noted = [note for note in other.notes if note.startswith("driver.variant")]
    assert len(noted) == (variant != "v14")


def test_variant_is_another_driver_only_where_its_limit_binds() -> None:
    assert bound(make_trace(), "driver.variant=v3").setup.same_driver
    one = make_trace([{"device": LOOP + 1}])
    assert not bound(one, "driver.variant=v3").setup.same_driver


# --- instance


def test_one_cgroup_for_all_devices_or_one_for_each() -> None:
    trace = make_trace(TWO_LOOPS, paths=PATHS)
    one = bound(trace, "driver.policy=instance", "driver.instance=/b")
    assert one.cgroup_names == ["/", "/a", "/b"]
    assert one.setup.instance_cgroup.tolist() == [2, 2]
    table = 'driver.instance={ "7:1" = "/a", "7:0" = "/b" }'
    two = bound(trace, "driver.policy=instance", table)
    assert two.setup.instance_cgroup.tolist() == [2, 1]
    # AND what is effective can be given again
    again = bind(Scenario.from_dict(two.scenario.effective()), trace)
    assert again.setup.instance_cgroup.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "driver.instance: must be given with policy instance"),
        (['driver.instance={ "7:1" = "/a" }'], "driver.instance: 7:0 is bound to no"),
        (["driver.instance=a"], "driver.instance=a: "),
        (["driver.instance={ x = 3 }"], "x: "),
        (["driver.instance={}"], "names no device"),
    ],
)
def test_device_without_a_cgroup_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        bound(make_trace(TWO_LOOPS), "driver.policy=instance", *overrides)
    assert message in str(caught.value)


def test_binding_of_a_device_without_the_policy_is_noted() -> None:
    (note,) = bound(make_trace(), "driver.instance=/b").notes
    assert note.startswith("driver.instance has no effect")


# --- synchronous


def test_kernel_threads_are_found_and_said_to_be_paid_for_by_root() -> None:
    names = {9: [(0, "kworker/u8:1")], 143: [(0, "dd")], 200: []}
    rows = [{"pid": 9}, {"pid": 143}, {"pid": 200}]
    trace = make_trace(rows, names=names)
    binding = bound(trace, "driver.policy=synchronous", "trace.policy=per-cgroup")
    # a process of no known name is a user's
    assert binding.setup.kernel_pids.tolist() == [9]
    assert any("the root pays for what kworker/u8:1" in one for one in binding.notes)
    assert bound(trace).setup.kernel_pids.tolist() == []


def test_trace_without_processes_is_noted() -> None:
    trace = make_trace([{"pid": 0}], names={})
    notes = bound(trace, "driver.policy=synchronous").notes
    assert any("names no process" in note for note in notes)
    # AND what the trace is taken to be recorded under
    assert any("recorded under per-cgroup" in note for note in notes)


# --- pass-through


def test_a_pass_through_device_has_no_page_cache_of_its_own() -> None:
    binding = bound(make_trace([{"device": MD}]), "driver.policy=pass-through")
    assert binding.setup.policy == Policy.PASS_THROUGH
    assert (binding.setup.direct_io, binding.setup.tmpfs) == (True, False)
    assert binding.setup.tags > 1 << 30
    assert binding.notes == []
    told = bound(
        make_trace([{"device": DISK}]),
        *("driver.policy=pass-through", "driver.direct_io=false"),
    )
    assert told.setup.direct_io
    assert any("driver.direct_io = false has no effect" in one for one in told.notes)
