"""A stack in one trace: what one device passed down to another is one I/O."""

from pathlib import Path

import pytest

import replay

#: dm-crypt on a logical volume on a disk; dm-crypt's worker queues the lower bios.
#: The disk has a write of its own, too.
STACK = """\
253,14 1  1 0.000000000 4001  Q  W 800 + 16 [borg]
 253,2 1  1 0.000020000 9587  A  W 4896 + 16 <- (253,14) 800
 253,2 1  2 0.000021000 9587  Q  W 4896 + 16 [dmcrypt_write]
  8,16 1  1 0.000022000 9587  A  W 8992 + 8 <- (253,2) 4896
  8,16 1  2 0.000023000 9587  Q  W 8992 + 8 [dmcrypt_write]
  8,16 1  3 0.000024000 9587  G  W 8992 + 8 [dmcrypt_write]
  8,16 1  4 0.000025000 9587  A  W 9000 + 8 <- (253,2) 4904
  8,16 1  5 0.000026000 9587  Q  W 9000 + 8 [dmcrypt_write]
  8,16 1  6 0.000027000 9587  G  W 9000 + 8 [dmcrypt_write]
  8,16 1  7 0.000028000 9587  D  W 8992 + 8 [dmcrypt_write]
  8,16 1  8 0.000029000 9587  D  W 9000 + 8 [dmcrypt_write]
  8,16 1  9 0.000100000 4002  Q  W 64 + 8 [sshd]
  8,16 1 10 0.000101000 4002  G  W 64 + 8 [sshd]
  8,16 1 11 0.000102000 4002  D  W 64 + 8 [sshd]
  8,16 1 12 0.000425000    0  C  W 8992 + 8 [0]
  8,16 1 13 0.000426000    0  C  W 9000 + 8 [0]
 253,2 1  3 0.000430000    0  C  W 4896 + 16 [0]
253,14 1  2 0.000440000    0  C  W 800 + 16 [0]
  8,16 1 14 0.000500000    0  C  W 64 + 8 [0]
"""
RULES = 'assign=[{comm="borg",cgroup="/borg"},{comm="sshd",cgroup="/sshd"}]'


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.txt"
    path.write_text(STACK)
    return path


def test_what_was_passed_down_is_its_issuers_and_marked(stack: Path) -> None:
    trace = replay.convert([stack], stack.with_suffix(".arrow"))
    rows = {
        (row["device"] >> 20, row["sector"]): (row["pid"], row["flags"] & 32)
        for row in trace.table().to_pylist()
    }
    # THEN parts too, down to the disk; the disk's own request is its own
    assert rows == {
        (253, 800): (4001, 0),
        (253, 4896): (4001, 32),
        (8, 8992): (4001, 32),
        (8, 9000): (4001, 32),
        (8, 64): (4002, 0),
    }
    layers = [
        (one.above & 0xFF, one.below >> 20, one.n_requests, one.took_ns // one.n_done)
        for one in trace.metadata.summary.stack
    ]
    assert sorted(layers) == [(2, 8, 2, 401_000), (14, 253, 1, 409_000)]


def test_a_stack_counts_once_and_its_layers_are_told(stack: Path) -> None:
    result = replay.run(stack, overrides=[RULES])
    counts = result.info["counts"]
    assert (counts["requests"], counts["other_devices"]) == (2, 3)
    issued = {
        row["issuer"]: row["wbytes"]
        for row in result.charges.to_pylist()
        if row["device"] != "8:16" or row["issuer"]
    }
    assert issued == {"/borg": 8192, "/sshd": 4096}
    notes = [note for note in result.info["notes"] if "lies below" in note]
    assert notes == [
        "8:16 lies below 253:2: of its requests 2 are the same I/O, counted once; "
        "there they took 401 us on average",
        "253:2 lies below 253:14: of its requests 1 are the same I/O, counted once; "
        "there they took 409 us on average",
    ]


def test_a_layer_that_is_named_is_replayed_by_itself(stack: Path) -> None:
    # WHEN the disk alone is asked for, THEN its requests are the issuers' nonetheless
    result = replay.run(stack, overrides=[RULES, 'trace.devices=["8:16"]'])
    assert result.info["counts"]["requests"] == 3
    requests = {
        row["cgroup"]: row["count"]
        for row in result.latency.to_pylist()
        if row["stage"] == "total"
    }
    assert requests == {"/borg": 2, "/sshd": 1}


def test_the_layer_with_a_limit_is_the_device_below(stack: Path) -> None:
    limit = "/borg/io.max=253:2 wiops=10"
    result = replay.run(stack, overrides=[RULES, limit, "driver.policy=pass-through"])
    assert result.info["scenario"]["backing"]["device"] == "253:2"
    assert not any("has no effect" in note for note in result.info["notes"])
    # the lowest, if none has
    result = replay.run(stack, overrides=[RULES])
    assert result.info["scenario"]["backing"]["device"] is None
