import numpy as np
import pytest

from replay.trace.file.metadata import Process, ProcessName
from replay.trace.file.processes import ProcessTable, is_kernel_thread


def process(pid: int, *names: tuple[int, str]) -> Process:
    return Process(
        pid=pid,
        names=[ProcessName(time_ns=time, name=name) for time, name in names],
        n_requests=1,
    )


def names_at(table: ProcessTable, rows: list[tuple[int, int]]) -> list[str]:
    pids = np.array([pid for pid, _ in rows], dtype=np.int32)
    times = np.array([time for _, time in rows], dtype=np.int64)
    return [table.segment_names[segment] for segment in table.segment(pids, times)]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "kworker/0:1H",
        "kworker/u8:1-lo",
        "ksoftirqd/0",
        "jbd2/loop0-8",
        "loop0",
        "kswapd0",
        "md127_raid5",
        "xfsaild/dm-0",
        "btrfs-transacti",
        "swapper/0",
        "irq/24-nvme",
        "flush-8:0",
        "dmcrypt_write/2",
        "kcompactd0",
    ],
)
def test_kernel_thread_is_told_by_its_name(name: str) -> None:
    assert is_kernel_thread(name)


@pytest.mark.parametrize(
    "name",
    [
        "btrfs",
        "dd",
        "f2fs_io",
        "fio",
        "irqbalance",
        "java",
        "kworkerd",
        "loopback",
        "losetup",
        "mdadm",
        "migrate",
        "mount",
        "writebacker",
        "xfs_io",
        "zfs",
    ],
)
def test_user_process_is_not_taken_for_a_kernel_thread(name: str) -> None:
    assert not is_kernel_thread(name)


def test_name_is_the_one_that_the_pid_had_at_the_time() -> None:
    table = ProcessTable(
        [process(7, (0, "sh"), (100, "dd"), (200, "cat")), process(9, (150, "fio"))]
    )
    rows = [(7, 0), (7, 99), (7, 100), (7, 199), (7, 200), (7, 10**12)]
    assert names_at(table, rows) == ["sh", "sh", "dd", "dd", "cat", "cat"]


def test_first_name_holds_before_it_was_seen() -> None:
    table = ProcessTable([process(9, (150, "fio")), process(7, (5, "sh"), (9, "dd"))])
    assert names_at(table, [(9, 0), (9, 149), (7, 0)]) == ["fio", "fio", "sh"]


def test_unknown_pid_has_no_name() -> None:
    table = ProcessTable([process(7, (0, "a"), (5, "b")), process(9)], [11])
    assert names_at(table, [(8, 7), (9, 7), (11, 7), (-1, 7)]) == ["", "", "", ""]
    assert table.position(np.array([7, 9, 11, 8, -1])).tolist() == [0, 1, 2, 3, 3]
    assert table.segment_pid.tolist() == [7, 7, 9, 11, -1]


def test_names_come_in_any_order_and_a_pid_may_be_listed_twice() -> None:
    table = ProcessTable([process(7, (50, "b")), process(7, (0, "a"), (90, "c"))])
    assert table.pid_names == [["a", "b", "c"], []]
    assert names_at(table, [(7, 0), (7, 50), (7, 91)]) == ["a", "b", "c"]


def test_table_of_no_processes_knows_nobody() -> None:
    table = ProcessTable([])
    assert names_at(table, [(1, 5)]) == [""]
