from typing import Any

import numpy as np
import pytest

from replay.common.errors import ScenarioError, TraceError
from replay.engine.setup import (
    ALL_PAGES,
    NO_LIMIT,
    NOT_REPLAYED,
    ArrivalEvent,
    ArrivalMode,
    Policy,
    ServiceModel,
)
from replay.scenario.bind import Binding, bind
from replay.scenario.keys.load import Scenario
from support.traces import DISK, LOOP, FakeTrace, make_trace


def bound(
    trace: FakeTrace, scenario: dict[str, Any] | None = None, *overrides: str
) -> Binding:
    made = Scenario.from_dict(scenario or {}, source="lab.toml", overrides=overrides)
    return bind(made, trace)


def names(binding: Binding, dense: Any) -> list[str]:
    return [binding.cgroup_names[cgroup] for cgroup in dense]


def test_ids_become_dense_cgroups_by_path() -> None:
    # GIVEN rows with no id, the root's, a known and an unknown one
    rows = [{"cgroup": id_} for id_ in (0, 1, 23, 99)]
    binding = bound(make_trace(rows, paths={1: "/", 23: "/p/a"}))
    # THEN 0 and the root's are the root, parents are there, the unknown comes last
    assert binding.cgroup_names == ["/", "/p", "/p/a", "id:99"]
    assert binding.setup.parent.tolist() == [-1, 0, 1, 0]
    assert binding.cgroup_ids.tolist() == [0, 1, 23, 99]
    assert binding.cgroup_of_id.tolist() == [0, 0, 2, 3]
    assert binding.cgroup_ids.dtype == np.uint64
    assert binding.cgroup_of_id.dtype == np.uint32


def test_id_1_is_the_root_unless_the_trace_says_otherwise() -> None:
    rows = [{"cgroup": 1}, {"cgroup": 5}]
    assert bound(make_trace(rows, paths={})).cgroup_names == ["/", "id:5"]
    other = bound(make_trace(rows, paths={5: "/", 1: "/a"}))
    assert names(other, other.cgroup_of_id) == ["/", "/a", "/"]
    unknown = bound(make_trace(rows, paths={5: "/"}))
    assert unknown.cgroup_names == ["/", "id:1"]


def test_scenario_names_an_id_that_the_trace_does_not_know() -> None:
    trace = make_trace([{"cgroup": 99}], paths={})
    binding = bound(trace, {"cgroups": {"/x": {"id": 99, "memory": {"max": "1M"}}}})
    assert binding.cgroup_names == ["/", "/x"]
    assert binding.setup.memory_max.tolist() == [NO_LIMIT, 256]


def test_scenario_s_cgroup_without_an_id_is_found_by_path() -> None:
    binding = bound(make_trace(), {}, "/test.slice/memory.max=64M")
    assert binding.setup.memory_max.tolist() == [NO_LIMIT, 16384]


def test_scenario_s_id_counts_before_the_trace_s_path_and_is_noted() -> None:
    binding = bound(make_trace(), {"cgroups": {"/x": {"id": 23}}})
    assert binding.cgroup_names == ["/", "/x"]
    assert "/x: id 23 is /test.slice in the trace" in binding.notes


def test_two_ids_of_one_path_are_one_cgroup() -> None:
    trace = make_trace([{"cgroup": 5}, {"cgroup": 9}], paths={5: "/a", 9: "/a"})
    assert bound(trace).cgroup_of_id.tolist() == [0, 0, 1, 1]


def test_path_that_is_none_is_not_used() -> None:
    trace = make_trace([{"cgroup": 5}], paths={5: "../other"})
    binding = bound(trace)
    assert binding.cgroup_names == ["/", "id:5"]
    assert any("id:5" in note for note in binding.notes)


def test_cgroups_of_scenario_rules_and_layout_are_in_the_tree() -> None:
    binding = bound(
        make_trace(),
        {
            "cgroups": {"/idle": {}},
            "assign": [{"pid": 1, "cgroup": "/x/y"}],
            "backing": {"laid_out_by": "/builder"},
        },
    )
    assert binding.cgroup_names == [
        "/",
        "/builder",
        "/idle",
        "/test.slice",
        "/x",
        "/x/y",
    ]
    assert binding.setup.laid_out_by == 1


def test_controllers_make_ancestors_answer() -> None:
    # GIVEN io enabled down to /x only, memory down to /x/y
    trace = make_trace([{"cgroup": 5}], paths={5: "/x/y/z"})
    binding = bound(
        trace,
        {
            "cgroups": {
                "/x/y": {"controllers": ["memory"]},
                "/x/y/z": {"controllers": []},
            }
        },
    )
    assert binding.cgroup_names == ["/", "/x", "/x/y", "/x/y/z"]
    assert names(binding, binding.setup.blkcg) == ["/", "/x", "/x", "/x"]
    assert names(binding, binding.setup.memory_css) == ["/", "/x", "/x/y", "/x/y"]


def test_controllers_are_inherited_by_cgroups_that_name_none() -> None:
    trace = make_trace([{"cgroup": 5}], paths={5: "/x/y/z"})
    binding = bound(trace, {"cgroups": {"/x": {"controllers": ["io"]}}})
    assert names(binding, binding.setup.blkcg) == ["/", "/x", "/x/y", "/x/y/z"]
    assert names(binding, binding.setup.memory_css) == ["/", "/", "/", "/"]


def test_file_laid_out_without_the_memory_controller_is_the_ancestor_s() -> None:
    binding = bound(
        make_trace(),
        {
            "cgroups": {"/x/y": {"controllers": ["io"]}},
            "backing": {"laid_out_by": "/x/y"},
        },
    )
    assert names(binding, [binding.setup.laid_out_by]) == ["/x"]


# --- devices


def test_loop_devices_are_replayed_and_others_are_not() -> None:
    rows = [{"device": DISK}, {"device": LOOP}, {"device": LOOP | 3}]
    binding = bound(make_trace(rows))
    assert binding.device_names == ["7:0", "7:3"]
    assert binding.setup.devices.tolist() == [LOOP, LOOP | 3]
    assert not binding.one_device
    resolved = binding.resolver.resolve(make_trace(rows).rows[0])
    assert resolved.device_idx.tolist() == [NOT_REPLAYED, 0, 1]
    assert resolved.device_idx.dtype == np.uint16


def test_loop_device_is_buffered_over_tmpfs() -> None:
    binding = bound(make_trace())
    assert binding.setup.tmpfs
    assert not binding.setup.direct_io
    assert not binding.setup.trace_direct_io


def test_trace_without_loop_devices_is_one_device_with_direct_io() -> None:
    rows = [{"device": DISK}, {"device": 8 << 20}]
    trace = make_trace(rows)
    binding = bound(trace)
    assert binding.one_device
    assert binding.device_names == ["all"]
    assert binding.setup.devices.tolist() == [0]
    assert binding.resolver.resolve(trace.rows[0]).device_idx.tolist() == [0, 0]
    assert binding.setup.direct_io
    assert binding.setup.trace_direct_io
    assert not binding.setup.tmpfs


def test_a_disk_had_no_loop_worker_that_its_requests_waited_for() -> None:
    # GIVEN a disk's trace, replayed as that of a loop device
    disk = make_trace([{"device": DISK}])
    asked = {"driver": {"direct_io": False}, "backing": {"filesystem": "tmpfs"}}
    setup = bound(disk, asked).setup
    # THEN its latencies are its own; what was a loop device's is as the driver is now
    assert (setup.direct_io, setup.trace_direct_io) == (False, True)
    loop = bound(make_trace(), {"driver": {"direct_io": True}}).setup
    assert (loop.direct_io, loop.trace_direct_io) == (True, True)
    # AND what the user says holds
    told = bound(disk, {**asked, "trace": {"direct_io": False}}).setup
    assert not told.trace_direct_io


def test_one_device_that_is_one_keeps_its_name() -> None:
    binding = bound(make_trace([{"device": DISK}]))
    assert binding.one_device
    assert binding.device_names == ["254:32"]
    assert binding.setup.devices.tolist() == [DISK]


def test_named_devices_are_replayed_whatever_they_are() -> None:
    rows = [{"device": DISK}, {"device": LOOP}]
    trace = make_trace(rows)
    binding = bound(trace, {}, "trace.devices=254:32")
    assert binding.device_names == ["254:32"]
    assert not binding.one_device
    assert binding.setup.direct_io
    resolved = binding.resolver.resolve(trace.rows[0])
    assert resolved.device_idx.tolist() == [0, NOT_REPLAYED]


def test_a_replayed_device_is_not_the_one_below_too() -> None:
    trace = make_trace([{"device": DISK}, {"device": LOOP}])
    with pytest.raises(ScenarioError) as caught:
        bound(trace, {"backing": {"device": "254:32"}}, "trace.devices=7:0,254:32")
    assert str(caught.value).endswith(
        "backing.device: 254:32 is one of the replayed devices; name the disk below "
        "them, or leave it out of trace.devices"
    )


def test_device_that_the_trace_does_not_hold_is_refused() -> None:
    with pytest.raises(ScenarioError) as caught:
        bound(make_trace(), {}, "trace.devices=7:9")
    assert str(caught.value) == (
        "lab.toml: trace.devices: 7:9 is not in the trace, which has 7:0"
    )


def test_trace_of_no_rows_binds() -> None:
    binding = bound(make_trace([]), {}, "/a/memory.max=1M")
    assert binding.device_names == ["all"]
    assert binding.setup.task_rss.tolist() == []


# --- the engine's numbers


def test_trace_policy_is_a_fact_whatever_the_driver_is_asked_to_be() -> None:
    binding = bound(make_trace(), {"driver": {"policy": "naive", "direct_io": True}})
    assert binding.setup.trace_policy == Policy.PER_CGROUP
    assert binding.setup.trace_direct_io
    old = bound(make_trace(), {"trace": {"kernel": "5.10"}}).setup
    assert (old.policy, old.trace_policy) == (Policy.ROOT, Policy.ROOT)
    facts = {"policy": "per-cgroup", "direct_io": False}
    asked = {"driver": {"policy": "root", "direct_io": True}, "trace": facts}
    told = bound(make_trace(), asked).setup
    assert (told.policy, told.trace_policy) == (Policy.ROOT, Policy.PER_CGROUP)
    assert not told.trace_direct_io


def test_effective_scenario_of_a_binding_has_what_the_trace_decided() -> None:
    effective: Any = bound(make_trace()).scenario.effective()
    assert effective["trace"] == {
        "policy": "per-cgroup",
        "direct_io": False,
        "kernel": "6.1",
        "devices": ["7:0"],
        "scheduler": None,
        "wbt": None,
        "journal": False,
    }
    assert effective["driver"]["direct_io"] is False
    assert effective["backing"]["filesystem"] == "tmpfs"


@pytest.mark.parametrize(
    ("probability", "threshold"),
    [(0, 0), (1, 2**64), (0.5, 2**63), (0.1, int(0.1 * 2**64)), (2**-70, 0)],
)
def test_probability_becomes_an_exact_64_bit_threshold(
    probability: float, threshold: int
) -> None:
    driver = {"driver": {"alloc_fail": {"probability": probability}}}
    assert bound(make_trace(), driver).setup.alloc_fail_threshold == threshold


def test_certain_failure_is_above_every_64_bit_draw() -> None:
    driver = {"driver": {"alloc_fail": {"probability": 1.0}}}
    assert bound(make_trace(), driver).setup.alloc_fail_threshold > 2**64 - 1


@pytest.mark.parametrize(
    ("kernel", "write_errno", "enospc_errno", "lock_per_page"),
    [
        ("6.1", 5, 5, True),
        ("6.14", 5, 5, True),
        ("6.12.116", 5, 5, True),
        ("6.12.117", 12, 28, False),
        ("6.15", 12, 28, False),
    ],
)
def test_kernel_decides_errors_and_lock(
    kernel: str, write_errno: int, enospc_errno: int, lock_per_page: bool
) -> None:
    setup = bound(make_trace(), {"driver": {"kernel": kernel}}).setup
    assert setup.write_errno == write_errno
    assert setup.enospc_errno == enospc_errno
    assert setup.lock_per_page is lock_per_page


def test_service_rates_become_integers_rounded_to_nearest() -> None:
    setup = bound(
        make_trace(),
        {
            "service": {
                "model": "linear",
                "read": {"base_ns": 7, "ns_per_byte": 0.3},
                "write": {"base_ns": 8, "ns_per_byte": 1.5 * 2**-20},
                "parallel": 3,
            }
        },
    ).setup
    assert setup.service == ServiceModel.LINEAR
    assert setup.read_base_ns == 7
    assert setup.read_ns_per_byte == 314573  # 314572.8
    assert setup.write_ns_per_byte == 2
    assert setup.parallel == 3


def test_remaining_keys_reach_the_engine() -> None:
    setup = bound(
        make_trace(),
        {
            "arrivals": {"event": "queue", "mode": "dependent"},
            "cgroups": {"/a": {"io.max": "7:0 wbps=1M"}},
            "driver": {"alloc_fail": {"seed": 9, "requests": [5, 2]}},
            "backing": {"size": 8193},
        },
    ).setup
    assert setup.event == ArrivalEvent.QUEUE
    assert setup.mode == ArrivalMode.DEPENDENT
    issue = bound(make_trace(), {"arrivals": {"event": "issue"}}).setup
    assert (issue.event, issue.mode) == (ArrivalEvent.ISSUE, ArrivalMode.RECORDED)
    assert setup.alloc_fail_seed == 9
    assert setup.alloc_fail_rows.tolist() == [2, 5]
    assert setup.fs_pages == 3
    assert setup.tags == 128


def test_page_cache_has_its_size_layout_and_readahead() -> None:
    backing = {"filesystem": "ext4", "size": "1M", "laid_out_by": "/test.slice"}
    setup = bound(make_trace(), {"backing": backing}).setup
    assert (setup.tmpfs, setup.cached, setup.laid_out) == (False, True, True)
    assert (setup.fs_pages, setup.laid_out_by) == (256, 1)
    assert (setup.readahead_pages, setup.file_pages) == (32, NO_LIMIT)
    raw = {"filesystem": "raw", "readahead": "64K", "file_size": 4097, "reclaim": "lru"}
    setup = bound(make_trace(), {"backing": raw}).setup
    # a device has no holes, and nobody laid it out
    assert (setup.cached, setup.laid_out, setup.laid_out_by) == (True, True, -1)
    assert (setup.fs_pages, setup.readahead_pages, setup.file_pages) == (
        NO_LIMIT,
        16,
        2,
    )
    assert setup.reclaim_lru


def test_quota_below_the_size_is_eio_to_the_writer() -> None:
    backing = {"filesystem": "tmpfs", "size": "2M", "quota": "1M"}
    scenario = {"driver": {"kernel": "6.15"}, "backing": backing}
    setup = bound(make_trace(), scenario).setup
    assert (setup.fs_pages, setup.enospc_errno) == (256, 5)
    scenario["backing"] = backing | {"size": "512K"}
    setup = bound(make_trace(), scenario).setup
    assert (setup.fs_pages, setup.enospc_errno) == (128, 28)


def test_machine_s_memory_is_the_root_s_limit() -> None:
    setup = bound(make_trace(), {"machine": {"memory": "64M"}}).setup
    assert setup.memory_max.tolist() == [16384, NO_LIMIT]


def test_dead_cgroup_is_charged_as_its_ancestor_but_keeps_its_pages() -> None:
    scenario = {
        "backing": {"filesystem": "tmpfs", "laid_out_by": "/test.slice"},
        "cgroups": {"/test.slice": {"online": False, "tasks": [{"comm": "dd"}]}},
    }
    setup = bound(make_trace(), scenario).setup
    assert setup.blkcg.tolist() == setup.memory_css.tolist() == [0, 0]
    assert (setup.laid_out_by, setup.task_cgroup.tolist()) == (1, [1])


def test_dirty_keys_are_the_kernels_and_reach_the_engine() -> None:
    setup = bound(make_trace(), {}).setup
    assert (setup.dirty_background_ratio, setup.dirty_ratio) == (10, 20)
    assert (setup.dirty_background_bytes, setup.dirty_bytes) == (0, 0)
    assert (setup.dirty_expire_ns, setup.dirty_writeback_ns) == (30 * 10**9, 5 * 10**9)
    machine = {
        "dirty_background_ratio": 3,
        "dirty_background_bytes": "1M",
        "dirty_ratio": 7,
        "dirty_bytes": 8192,
        "dirty_expire_centisecs": 100,
        "dirty_writeback_centisecs": 0,
    }
    setup = bound(make_trace(), {"machine": machine}).setup
    assert (setup.dirty_background_ratio, setup.dirty_ratio) == (3, 7)
    assert (setup.dirty_background_bytes, setup.dirty_bytes) == (1 << 20, 8192)
    assert (setup.dirty_expire_ns, setup.dirty_writeback_ns) == (10**9, 0)


def test_protection_and_oom_keys_reach_the_engine() -> None:
    memory = {"min": "8K", "low": "max", "oom": {"group": 1}}
    task = {"comm": "dd", "oom_score_adj": -500}
    cgroups = {"/test.slice": {"memory": memory, "tasks": [task]}}
    machine = {"memory_recursiveprot": False}
    setup = bound(make_trace(), {"cgroups": cgroups, "machine": machine}).setup
    assert setup.memory_min.tolist() == [0, 2]
    assert setup.memory_low.tolist() == [0, ALL_PAGES]
    assert setup.oom_group.tolist() == [False, True]
    assert setup.task_adj.tolist() == [-500]
    assert not setup.recursive_protection


@pytest.mark.parametrize(
    ("kernel", "errors", "short"),
    [("6.1", "kernel", False), ("6.15", "kernel", True), ("6.15", "strict", False)],
)
def test_short_writes_are_silent_from_6_15_on(
    kernel: str, errors: str, short: bool
) -> None:
    scenario = {"driver": {"kernel": kernel, "errors": errors}}
    assert bound(make_trace(), scenario).setup.short_writes == short


# --- rows


def test_rows_without_rules_keep_the_trace_s_cgroup() -> None:
    trace = make_trace([{"cgroup": 23}, {"cgroup": 0}])
    resolved = bound(trace).resolver.resolve(trace.rows[0])
    assert resolved.issuer.tolist() == [1, 0]
    assert resolved.recorded.tolist() == [1, 0]
    assert resolved.issuer.dtype == np.uint32
    assert resolved.task is None


def test_rules_change_the_issuer_and_not_what_was_recorded() -> None:
    # GIVEN everything recorded as the root's, as with the io controller off
    rows = [{"cgroup": 1, "pid": 158}, {"cgroup": 1, "pid": 159}, {"cgroup": 1}]
    trace = make_trace(rows)
    binding = bound(
        trace,
        {
            "assign": [
                {"pid": 159, "cgroup": "/a"},
                {"pid": 158, "cgroup": "/b"},
            ]
        },
    )
    resolved = binding.resolver.resolve(trace.rows[0])
    assert names(binding, resolved.issuer) == ["/b", "/a", "/"]
    assert names(binding, resolved.recorded) == ["/", "/", "/"]


def test_name_counts_at_queue_time_or_at_issue_where_no_queue_was_seen() -> None:
    rows = [
        {"queue_ns": 99, "issue_ns": 200},
        {"queue_ns": 100, "issue_ns": 200},
        {"queue_ns": -1, "issue_ns": 100},
        {"queue_ns": -1, "issue_ns": 99},
        {"queue_ns": 100, "issue_ns": -1},
    ]
    trace = make_trace(rows, names={143: [(0, "sh"), (100, "dd")]})
    binding = bound(trace, {"assign": [{"comm": "dd", "cgroup": "/dd"}]})
    resolved = binding.resolver.resolve(trace.rows[0])
    assert names(binding, resolved.issuer) == [
        "/test.slice",
        "/dd",
        "/dd",
        "/test.slice",
        "/dd",
    ]


def test_flush_of_the_flush_machinery_belongs_to_nobody() -> None:
    rows = [
        {"op": "flush", "n_bios": 0, "cgroup": 0},
        # a bio that somebody sent is somebody's
        {"op": "flush", "n_bios": 1, "cgroup": 0},
        {"op": "write", "n_bios": 0, "cgroup": 0},
    ]
    trace = make_trace(rows)
    binding = bound(trace, {"assign": [{"pid": 143, "cgroup": "/a"}]})
    resolved = binding.resolver.resolve(trace.rows[0])
    assert names(binding, resolved.issuer) == ["/", "/a", "/a"]


def test_slice_of_a_batch_resolves_to_its_own_rows() -> None:
    trace = make_trace([{"cgroup": id_} for id_ in (0, 23, 0, 23, 23)])
    resolver = bound(trace).resolver
    assert resolver.resolve(trace.rows[0].slice(1, 3)).issuer.tolist() == [1, 0, 1]
    assert resolver.resolve(trace.rows[0].slice(5)).issuer.tolist() == []


def test_id_that_the_metadata_does_not_list_is_refused() -> None:
    binding = bound(make_trace())
    with pytest.raises(TraceError, match="cgroup id 77 stands in a row"):
        binding.resolver.resolve(make_trace([{"cgroup": 77}]).rows[0])


def test_number_beyond_64_bits_in_the_metadata_is_refused() -> None:
    # GIVEN a name since a time that no clock tells, and a rule on names
    trace = make_trace([{}], names={143: [(1, "a"), (2**70, "b")]})
    with pytest.raises(TraceError, match="metadata is damaged"):
        bound(trace, {"assign": [{"comm": "a", "cgroup": "/a"}]})
