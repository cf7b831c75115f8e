"""Charges, kills and errors on tmpfs against what the kernel counted."""

import pytest

import replay
from fidelity.page.lab import Lab
from fidelity.page.tables import only

MIB = 1 << 20
SEED_SHMEM = 65_896_448  # seed-oom-direct: the same writer, under the limit
NESTED_A, NESTED_B = 33_554_432, 65_794_048  # tmpfs-nested
WITHIN = 0.005
EIO = 5


@pytest.mark.parametrize("tasks", ["listed", "left out"])
def test_seed_under_64m_and_per_cgroup_is_killed_once_where_the_kernel_killed(
    lab: Lab, tasks: str
) -> None:
    # GIVEN 256 MiB written by a dd without a limit, replayed with memory.max = 64M
    seed = lab["seed-unlimited"]
    listed = tasks == "listed"
    result = (
        replay.run(seed.trace, seed.scenario_file)
        if listed
        else replay.run(seed.trace, overrides=["/test.slice/memory.max=64M"])
    )
    # THEN the one dd of /test.slice is killed, at the limit of /test.slice
    (kill,) = result.kills.to_pylist()
    assert (kill["limit_cgroup"], kill["victim_cgroup"]) == ("/test.slice",) * 2
    assert kill["usage_bytes"] == 64 * MIB
    row = only(result.memory, cgroup="/test.slice")
    assert row["oom_kill"] == 1
    assert row["peak"] == 64 * MIB
    # 18 and 17 for the two rounds of one charge (try_charge_memcg(), v6.1)
    assert (row["max"], row["oom"]) == (35, 2)
    failed = only(result.errors, cgroup="/test.slice")
    assert (failed["errno"], failed["count"]) == (EIO, 1)
    off = abs(row["shmem"] / SEED_SHMEM - 1)
    if listed:
        # AND what is charged is what the kernel had (docs/model.md, Kills): limit -
        # pinned - kernel memory of the page tree, the request in flight being 1 MiB
        assert off <= WITHIN
        assert kill["task"] == "dd"
        assert kill["row"] == 62
        assert row["shmem"] + row["kernel"] == 63 * MIB
    else:
        # AND without the task's 1 MiB of rss there is nothing to pin: one request, or
        # 1.6 %, more fits, and the notes say what was assumed
        assert row["shmem"] + row["kernel"] == 64 * MIB
        assert kill["row"] == 63
        assert WITHIN < off < 0.02
        assert any("rss of dd" in note for note in result.info["notes"])


def test_seed_under_root_kills_nobody_and_the_root_pays(lab: Lab) -> None:
    seed = lab["seed-unlimited"]
    result = replay.run(
        seed.trace, seed.scenario_file, overrides=["driver.policy=root"]
    )
    assert result.kills.num_rows == result.errors.num_rows == 0
    (charge,) = result.charges.to_pylist()
    assert (charge["issuer"], charge["payer"]) == ("/test.slice", "/")
    assert charge["wbytes"] == charge["charged_bytes"] == 268_435_456
    assert result.info["counts"]["stopped"] == 0
    assert only(result.memory, cgroup="/test.slice")["shmem"] == 0
    assert only(result.memory, cgroup="/test.slice")["oom_kill"] == 0


def test_nested_under_96m_stops_b_and_leaves_a_its_pages(lab: Lab) -> None:
    # GIVEN a's 32 MiB and b's 160 MiB without a limit, WHEN their parent has 96M
    nested = lab["nested-unlimited"]
    result = replay.run(nested.trace, nested.scenario_file)
    # THEN a keeps what it touched, b is stopped where the kernel stopped it
    memory = {row["cgroup"]: row for row in result.memory.to_pylist()}
    assert memory["/p/a"]["shmem"] == NESTED_A
    assert abs(memory["/p/b"]["shmem"] / NESTED_B - 1) <= WITHIN
    # AND it counts at /p, the kill at /p and /p/b (docs/model.md: in every ancestor)
    counts = {
        path: (row["max"] > 0, row["oom"] > 0, row["oom_kill"])
        for path, row in memory.items()
    }
    assert counts == {
        "/": (False, False, 0),
        "/p": (True, True, 1),
        "/p/a": (False, False, 0),
        "/p/b": (False, False, 1),
    }
    (kill,) = result.kills.to_pylist()
    assert (kill["limit_cgroup"], kill["victim_cgroup"]) == ("/p", "/p/b")


@pytest.mark.parametrize("mode", ["recorded", "dependent"])
@pytest.mark.parametrize("name", ["seed-unlimited", "nested-unlimited"])
def test_what_a_kill_stops_is_counted_to_the_last_row(
    lab: Lab, name: str, mode: str
) -> None:
    # docs/model.md, Kills: what is not issued is counted, whatever releases it
    taken = lab[name]
    result = replay.run(
        taken.trace, taken.scenario_file, overrides=[f"arrivals.mode={mode}"]
    )
    assert result.kills.num_rows == 1
    counts = result.info["counts"]
    assert counts["stopped"] > 0
    assert counts["requests"] + counts["stopped"] == taken.trace.n_rows


@pytest.mark.parametrize("name", ["seed-oom-direct", "seed-swap", "tmpfs-nested"])
def test_recorded_under_its_limit_the_last_request_is_the_one_that_fails(
    lab: Lab, name: str
) -> None:
    # GIVEN a recording that ends with the kernel's own kill
    taken = lab[name]
    # WHEN replayed under the limit that it was taken with
    result = replay.run(taken.trace, taken.scenario_file, requests=True)
    # THEN the same request meets it, and nothing is stopped that the kernel let pass
    requests = result.tables["requests"].to_pylist()
    failed = [row["row"] for row in requests if row["errno"]]
    assert failed == [taken.trace.n_rows - 1]
    assert result.info["counts"]["stopped"] == 0
    # AND every cgroup has the memory and the kills that the kernel counted
    for path, counters in taken.kernel().items():
        if path == "/":
            continue
        row = only(result.memory, cgroup=path)
        assert abs(row["shmem"] / counters["memory.stat"]["shmem"] - 1) <= WITHIN
        events = counters["memory.events"]
        assert row["oom_kill"] == events["oom_kill"]
        assert (row["oom"] > 0, row["max"] > 0) == (
            events["oom"] > 0,
            events["max"] > 0,
        )


def test_rewritten_pages_stay_with_who_touched_them_first(lab: Lab) -> None:
    rewrite = lab["tmpfs-rewrite"]
    result = replay.run(rewrite.trace)
    kernel = rewrite.kernel()
    # beside it each fio, one in a and two in b, has 8,192 B of files of its own
    for path, shmem, n_fio in (("/a", 33_554_432, 1), ("/b", 16_777_216, 2)):
        row = only(result.memory, cgroup=path)
        assert row["shmem"] == row["own_shmem"] == shmem
        assert kernel[path]["memory.stat"]["shmem"] == shmem + n_fio * 8192
        assert only(result.charges, issuer=path)["payer"] == path
    # docs/model.md, Memory: b's reads of holes charge nothing
    assert only(result.charges, issuer="/b")["rbytes"] == 4_096_000


def test_full_tmpfs_is_eio_and_kills_nobody(lab: Lab) -> None:
    full = lab["tmpfs-enospc"]
    result = replay.run(full.trace, full.scenario_file)
    row = only(result.memory, cgroup="/test.slice")
    kernel = full.kernel()["/test.slice"]
    assert row["shmem"] == 67_108_864
    # the page beside is dd's own
    assert kernel["memory.stat"]["shmem"] == row["shmem"] + 4096
    assert kernel["memory.stat"]["kernel"] == row["kernel"]
    assert result.kills.num_rows == 0
    assert (row["max"], row["oom"], row["oom_kill"]) == (0, 0, 0)
    # drivers/block/loop.c:lo_complete_rq(), v6.1: any errno of a buffered write is EIO
    (error,) = result.errors.to_pylist()
    assert (error["cgroup"], error["errno"], error["count"]) == ("/test.slice", EIO, 1)
    assert only(result.charges)["refused_bytes"] == MIB


def test_pages_of_a_file_system_are_their_writers_and_a_trim_gives_them_back(
    lab: Lab,
) -> None:
    # GIVEN ext4 on the loop device, whose fstrim discards what a wrote and removed
    trimmed = lab["fs-on-loop"]
    result = replay.run(trimmed.trace, trimmed.scenario_file)
    kernel = trimmed.kernel()
    # THEN a and b are left with what the kernel left them, but a page of fio's own
    for path in ("/a", "/b"):
        shmem = kernel[path]["memory.stat"]["shmem"]
        assert only(result.memory, cgroup=path)["shmem"] == shmem - 4096
    given_back = only(result.charges, issuer="/", payer="/a")
    assert given_back["uncharged_bytes"] == 8_126_464
