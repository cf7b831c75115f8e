from typing import Any

import numpy as np
import pytest

from replay.scenario.bind import Binding, bind
from replay.scenario.binding.tasks import ProcessCounts, count_pairs
from replay.scenario.keys.load import Scenario
from support.traces import DISK, LOOP, FakeTrace, make_trace

LIMIT = {"memory": {"max": "64M"}}


def bound(trace: FakeTrace, cgroups: dict[str, Any], **sections: Any) -> Binding:
    # a named file system: without one a limit gives a note (test_assumed.py)
    sections = {"backing": {"filesystem": "tmpfs"}} | sections
    return bind(Scenario.from_dict({"cgroups": cgroups, **sections}), trace)


def tasks_of(binding: Binding) -> list[tuple[str, str, int, int]]:
    """Name, cgroup, pages and requests of every task."""
    return [
        (
            task.name,
            binding.cgroup_names[task.cgroup],
            task.rss_pages,
            task.n_requests,
        )
        for task in binding.tasks
    ]


def task_rows(binding: Binding, trace: FakeTrace) -> list[int]:
    found = []
    for batch in trace.rows:
        task = binding.resolver.resolve(batch).task
        assert task is not None
        found += task.tolist()
    return found


def test_rows_are_not_read_without_limits_or_tasks() -> None:
    trace = make_trace()
    binding = bound(trace, {"/test.slice": {"memory": {"high": "1M"}}})
    assert trace.n_reads == 0
    assert binding.tasks == []
    assert binding.resolver.resolve(trace.rows[0]).task is None


def test_listed_task_has_the_rows_of_its_name_in_its_cgroup() -> None:
    # GIVEN two dd in the cgroup, one outside it, and one of another name
    rows = [
        {"pid": 143},
        {"pid": 144},
        {"pid": 145, "cgroup": 59},
        {"pid": 146},
        {"pid": 143},
    ]
    trace = make_trace(
        rows,
        paths={23: "/test.slice", 59: "/other"},
        names={
            143: [(0, "dd")],
            144: [(0, "sh"), (50, "dd")],
            145: [(0, "dd")],
            146: [(0, "cat")],
        },
    )
    # WHEN dd is listed and no limit stands anywhere
    listed = {"/test.slice": {"tasks": [{"comm": "d?", "rss": "1M"}]}}
    binding = bound(trace, listed)
    # THEN the entry is one task, and others are none
    assert tasks_of(binding) == [("d?", "/test.slice", 256, 3)]
    assert task_rows(binding, trace) == [0, 0, -1, -1, 0]
    assert binding.notes == []
    assert binding.setup.task_cgroup.tolist() == [2]
    assert binding.setup.task_rss.tolist() == [256]
    assert binding.setup.task_requests.tolist() == [3]
    assert binding.setup.task_kernel.tolist() == [False]


def test_task_listed_by_pid_has_that_pid_s_rows() -> None:
    trace = make_trace([{"pid": 143}, {"pid": 144}])
    listed = {"/test.slice": {"tasks": [{"pid": 144, "rss": 1}]}}
    binding = bound(trace, listed)
    assert tasks_of(binding) == [("dd (144)", "/test.slice", 1, 1)]
    assert task_rows(binding, trace) == [-1, 0]


def test_first_listed_task_that_fits_takes_a_process() -> None:
    trace = make_trace([{"pid": 143}, {"pid": 144}])
    listed = {"/test.slice": {"tasks": [{"pid": 144}, {"comm": "dd"}, {"comm": "*"}]}}
    binding = bound(trace, listed)
    assert task_rows(binding, trace) == [1, 0]
    assert [task.n_requests for task in binding.tasks] == [1, 1, 0]


def test_listed_task_without_requests_is_noted() -> None:
    binding = bound(make_trace(), {"/test.slice": {"tasks": [{"comm": "java"}]}})
    (note,) = binding.notes
    assert note.startswith("no request of the trace is of task java of /test.slice")
    assert tasks_of(binding) == [("java", "/test.slice", 0, 0)]


def test_many_listed_tasks_without_requests_are_one_note() -> None:
    listed = [{"comm": f"idle-{n}"} for n in range(300)]
    binding = bound(make_trace(), {"/test.slice": {"tasks": listed}})
    (note,) = binding.notes
    assert note.startswith(
        "no request of the trace is of 300 tasks, such as task idle-0 of /test.slice"
    )


def test_process_below_a_limit_that_is_not_listed_is_a_task_of_no_memory() -> None:
    # GIVEN a limit on the parent
    rows = [
        {"pid": 9, "cgroup": 59},
        {"pid": 7, "cgroup": 59},
        {"pid": 7, "cgroup": 95},
        {"pid": 7, "cgroup": 1},
    ]
    trace = make_trace(rows, paths={1: "/", 59: "/p/a", 95: "/p/b"})
    binding = bound(trace, {"/p": LIMIT})
    # THEN every process of every cgroup below it is one, in order of cgroup and pid
    assert tasks_of(binding) == [
        ("dd (7)", "/p/a", 0, 1),
        ("dd (9)", "/p/a", 0, 1),
        ("dd (7)", "/p/b", 0, 1),
    ]
    assert task_rows(binding, trace) == [1, 0, 2, -1]
    assert binding.notes == [
        "rss of dd (7), dd (9) in /p/a is not given: taken as 0",
        "rss of dd (7) in /p/b is not given: taken as 0",
    ]


def test_listed_and_other_processes_below_a_limit_are_all_tasks() -> None:
    trace = make_trace(
        [{"pid": 143}, {"pid": 144}], names={143: [(0, "dd")], 144: [(0, "cat")]}
    )
    listed = {"/test.slice": {**LIMIT, "tasks": [{"comm": "dd", "rss": "1M"}]}}
    binding = bound(trace, listed)
    assert tasks_of(binding) == [
        ("dd", "/test.slice", 256, 1),
        ("cat (144)", "/test.slice", 0, 1),
    ]


def test_kernel_threads_of_a_cgroup_are_one_task_that_is_not_killed() -> None:
    # GIVEN write-back by two workers, and a pid that nobody named
    rows = [{"pid": pid} for pid in (5, 6, 143, 8)]
    trace = make_trace(
        rows,
        names={5: [(0, "kworker/u8:1")], 6: [(0, "jbd2/sda-8")], 143: [(0, "dd")]},
    )
    binding = bound(trace, {"/test.slice": LIMIT})
    assert tasks_of(binding) == [
        ("dd (143)", "/test.slice", 0, 1),
        ("kernel threads", "/test.slice", 0, 3),
    ]
    assert binding.setup.task_kernel.tolist() == [False, True]
    assert task_rows(binding, trace) == [1, 1, 0, 1]


def test_many_processes_are_noted_in_one_line() -> None:
    trace = make_trace([{"pid": pid} for pid in range(100, 110)])
    (note,) = bound(trace, {"/test.slice": LIMIT}).notes
    assert note == (
        "rss of dd (100), dd (101), dd (102) and 7 more in /test.slice is not given: "
        "taken as 0"
    )


def test_rows_of_a_device_that_is_not_replayed_are_no_task_s() -> None:
    trace = make_trace([{"device": LOOP}, {"device": DISK}])
    binding = bound(trace, {"/test.slice": LIMIT})
    assert tasks_of(binding) == [("dd (143)", "/test.slice", 0, 1)]
    assert task_rows(binding, trace) == [0, -1]


def test_tasks_follow_assigned_cgroups() -> None:
    trace = make_trace([{"cgroup": 1, "pid": 7}, {"cgroup": 1, "pid": 8}])
    binding = bound(
        trace,
        {"/a": {**LIMIT, "tasks": [{"comm": "dd", "rss": 4096}]}},
        assign=[{"pid": 8, "cgroup": "/a"}],
    )
    assert tasks_of(binding) == [("dd", "/a", 1, 1)]
    assert task_rows(binding, trace) == [-1, 0]


def test_task_s_block_io_carries_the_cgroup_that_has_the_controller() -> None:
    # GIVEN io enabled down to /x only: what tasks of /x/y issue carries /x's id
    trace = make_trace([{"cgroup": 5, "pid": 7}], paths={5: "/x"})
    binding = bound(
        trace,
        {
            "/x": LIMIT,
            "/x/y": {
                "controllers": ["memory"],
                "tasks": [{"comm": "dd", "rss": 8192}],
            },
        },
    )
    # THEN the task is /x/y's all the same
    assert tasks_of(binding) == [("dd", "/x/y", 2, 1)]
    assert names_of(binding, binding.setup.task_cgroup) == ["/x/y"]
    assert task_rows(binding, trace) == [0]


def test_task_s_memory_is_charged_where_the_memory_controller_is() -> None:
    trace = make_trace([{"cgroup": 5}], paths={5: "/x/y"})
    binding = bound(
        trace,
        {"/x": LIMIT, "/x/y": {"controllers": ["io"], "tasks": [{"comm": "dd"}]}},
    )
    assert tasks_of(binding) == [("dd", "/x/y", 0, 1)]
    assert names_of(binding, binding.setup.task_cgroup) == ["/x"]


def names_of(binding: Binding, dense: Any) -> list[str]:
    return [binding.cgroup_names[cgroup] for cgroup in dense]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_batches_do_not_change_the_tasks(batch_rows: int) -> None:
    rows = [{"pid": 140 + row % 3} for row in range(7)]
    trace = make_trace(rows, batch_rows=batch_rows)
    binding = bound(trace, {"/test.slice": LIMIT})
    assert binding.setup.task_requests.tolist() == [3, 2, 2]
    assert task_rows(binding, trace) == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("n_keys", [1 << 10, 1 << 40])
def test_pairs_are_counted_alike_in_a_table_and_by_merging(
    n_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN so little room that counts are merged again and again
    if n_keys > 1 << 20:
        monkeypatch.setattr("replay.scenario.binding.tasks.TABLE_KEYS", 2)
    rows = [
        {"pid": 140 + row % 5, "cgroup": (0, 23)[row % 3 == 0]} for row in range(60)
    ]
    trace = make_trace(rows, batch_rows=4)
    binding = bound(trace, {})
    # WHEN only the second cgroup is wanted
    wanted = np.array([False, True])
    pairs: ProcessCounts = count_pairs(
        trace.batches(), binding.resolver, wanted, n_keys
    )
    # THEN each of the five pids has four rows there
    assert pairs.key.tolist() == [1, 3, 5, 7, 9]
    assert pairs.n_rows.tolist() == [4, 4, 4, 4, 4]


def test_a_bystander_issues_nothing_and_is_a_task() -> None:
    # GIVEN a database in a cgroup of its own that the trace has no request of
    trace = make_trace()
    listed = {"/db": {"tasks": [{"comm": "postgres", "rss": "30M", "always": True}]}}
    binding = bound(trace, listed, machine={"memory": "200M"})
    # THEN it lives through the trace, and nothing is said of an idle cgroup or task
    assert tasks_of(binding)[0] == ("postgres", "/db", 7680, 0)
    assert binding.setup.task_always.tolist()[0]
    assert binding.idle == {}
    assert not any("no request" in note for note in binding.notes)
    # AND without the key it never does, which is said with what to do
    del listed["/db"]["tasks"][0]["always"]
    binding = bound(trace, listed, machine={"memory": "200M"})
    assert not binding.setup.task_always.any()
    assert any("always = true" in note for note in binding.notes)
