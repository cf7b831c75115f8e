import numpy as np

from replay.scenario.binding.assign import NO_RULE, Assigner, AssignRule
from replay.trace.file.metadata import Process, ProcessName
from replay.trace.file.processes import ProcessTable

LOOP0, LOOP1, DISK = 7 << 20, 7 << 20 | 1, 8 << 20 | 16

PROCESSES = [
    Process(
        pid=7,
        names=[ProcessName(time_ns=0, name="sh"), ProcessName(time_ns=100, name="dd")],
        n_requests=1,
    ),
    Process(pid=9, names=[ProcessName(time_ns=0, name="java-1")], n_requests=1),
]


def assign(
    rules: list[AssignRule],
    rows: list[tuple[int, int, int]],
    *more_pids: int,
    volumes: dict[int, str] | None = None,
) -> list[int]:
    """Find the cgroups of rows of (pid, time, device)."""
    assigner = Assigner(rules, ProcessTable(PROCESSES, more_pids), volumes)
    pids, times, devices = zip(*rows, strict=True)
    found = assigner(
        np.array(pids, dtype=np.int32),
        np.array(times, dtype=np.int64),
        np.array(devices, dtype=np.uint32),
    )
    return [
        NO_RULE if rule == NO_RULE else int(assigner.cgroups[rule]) for rule in found
    ]


def test_row_that_no_rule_matches_keeps_its_cgroup() -> None:
    assert assign([AssignRule(pid=1, cgroup=5)], [(7, 0, LOOP0)], 1) == [NO_RULE]


def test_rule_by_pid_matches_that_pid_alone() -> None:
    rows = [(7, 0, LOOP0), (9, 0, LOOP0), (8, 0, LOOP0)]
    assert assign([AssignRule(pid=9, cgroup=5)], rows) == [NO_RULE, 5, NO_RULE]


def test_rule_by_pid_works_for_a_pid_that_the_trace_does_not_list() -> None:
    assert assign([AssignRule(pid=8, cgroup=5)], [(8, 0, LOOP0)], 8) == [5]


def test_rule_by_name_matches_the_name_at_the_time_of_the_request() -> None:
    rows = [(7, 99, LOOP0), (7, 100, LOOP0)]
    assert assign([AssignRule(comm="dd", cgroup=5)], rows) == [NO_RULE, 5]


def test_rule_by_name_is_a_pattern_and_case_matters() -> None:
    rows = [(9, 0, LOOP0)]
    assert assign([AssignRule(comm="java*", cgroup=5)], rows) == [5]
    assert assign([AssignRule(comm="Java*", cgroup=5)], rows) == [NO_RULE]
    assert assign([AssignRule(comm="java-[0-9]", cgroup=5)], rows) == [5]
    assert assign([AssignRule(comm="java", cgroup=5)], rows) == [NO_RULE]


def test_process_without_a_name_matches_the_star_only() -> None:
    rows = [(8, 0, LOOP0)]
    assert assign([AssignRule(comm="*", cgroup=5)], rows) == [5]
    assert assign([AssignRule(comm="?*", cgroup=5)], rows) == [NO_RULE]


def test_rule_by_device_matches_that_device_alone() -> None:
    rules = [AssignRule(device=LOOP1, cgroup=5), AssignRule(device=DISK, cgroup=6)]
    rows = [(7, 0, LOOP0), (8, 0, LOOP1), (9, 0, DISK)]
    assert assign(rules, rows) == [NO_RULE, 5, 6]


def test_all_conditions_of_a_rule_must_hold() -> None:
    rules = [AssignRule(pid=7, comm="dd", device=LOOP1, cgroup=5)]
    rows = [(7, 100, LOOP1), (7, 99, LOOP1), (7, 100, LOOP0), (9, 100, LOOP1)]
    assert assign(rules, rows) == [5, NO_RULE, NO_RULE, NO_RULE]


def test_first_rule_that_matches_wins() -> None:
    # GIVEN a narrow rule between two wide ones
    rules = [
        AssignRule(comm="java*", cgroup=1),
        AssignRule(pid=9, cgroup=2),
        AssignRule(cgroup=3),
        AssignRule(pid=7, cgroup=4),
    ]
    # THEN pid 9 is java's, and the rule without conditions takes all others
    assert assign(rules, [(9, 0, LOOP0), (7, 0, LOOP0)]) == [1, 3]


def test_rule_with_a_volume_matches_nothing_of_a_block_trace() -> None:
    rules = [AssignRule(volume="v1", cgroup=1), AssignRule(pid=7, cgroup=2)]
    assert assign(rules, [(7, 0, LOOP0)]) == [2]
    assert assign(rules[:1], [(7, 0, LOOP0)]) == [NO_RULE]


def test_rule_by_volume_matches_the_devices_of_that_name() -> None:
    # GIVEN two volumes of one pattern, one of another name, and a device without
    volumes = {LOOP0: "db-1", LOOP1: "db-2", DISK: "web"}
    other = DISK + 1
    rules = [
        AssignRule(volume="db-*", device=LOOP1, cgroup=1),
        AssignRule(volume="db-?", cgroup=2),
        AssignRule(volume="*", cgroup=3),
    ]
    rows = [(7, 0, LOOP0), (7, 0, LOOP1), (7, 0, DISK), (7, 0, other)]
    # THEN the first that fits wins, and what has no name fits none
    assert assign(rules, rows, volumes=volumes) == [2, 1, 3, NO_RULE]


def test_thousands_of_volumes_cost_a_column_for_each_set_of_rules_only() -> None:
    # GIVEN 5,000 volumes, and rules that tell two kinds from the rest
    volumes = {number: f"v{number}" for number in range(5000)}
    rules = [
        AssignRule(volume="v1*", comm="dd", cgroup=1),
        AssignRule(volume="v2*", cgroup=2),
    ]
    table = ProcessTable(PROCESSES)
    assigner = Assigner(rules, table, volumes)
    # THEN neither is the table that large, nor a row the wrong one's
    assert assigner._table.shape == (len(table.segment_names), 3)
    found = assigner(
        np.array([7, 9, 9, 9]), np.full(4, 100), np.array([1999, 1999, 2, 3000])
    )
    assert found.tolist() == [0, NO_RULE, 1, NO_RULE]
