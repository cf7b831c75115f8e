"""A device whose numbers are known is found again in a trace of it."""

import random
from pathlib import Path

import pytest

import replay
from replay.calibration.fit import Line, iocost_terms

READ = (70_000, 0.25, 400_000)
WRITE = (30_000, 0.5, 90_000)
NEAR = 4096 * 4096


def of_a_device(path: Path, parallel: int, *, size: int | None = None) -> Path:
    """Write rows of a device that serves so many requests at once."""
    draw = random.Random(7)
    free = [0] * parallel
    now, end = 0, 0
    lines = ["at,off,len,op,took"]
    for _ in range(3000):
        now += draw.randrange(0, 250_000)
        offset = end if draw.random() < 0.5 else draw.randrange(1, 1 << 14) * NEAR
        nbytes = size or draw.choice([4096, 65536, 1 << 18])
        op = draw.choice("RW")
        base, rate, seek = READ if op == "R" else WRITE
        service = base + int(rate * nbytes)
        service += seek * (lines[1:] != [] and abs(offset - end) > NEAR)
        end = offset + nbytes
        slot = free.index(min(free))
        free[slot] = max(now, free[slot]) + service
        lines.append(f"{now},{offset},{nbytes},{op},{free[slot] - now}")
    path.write_text("\n".join(lines) + "\n")
    return path


OPTIONS = replay.FormatOptions(
    name="csv", columns="time=at:ns,offset=off:B,size=len:B,op=op,response=took:ns"
)


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_known_device_is_found_again(tmp_path: Path, parallel: int) -> None:
    # GIVEN a trace of a device with known base, rate, seek and places
    trace = of_a_device(tmp_path / "disk.csv", parallel)
    found = replay.calibrate(trace, format=OPTIONS)
    # THEN these are what is fitted
    assert found.parallel == parallel
    for op, (base, rate, seek) in (("read", READ), ("write", WRITE)):
        line = found.lines[op]
        assert line.base_ns == pytest.approx(base, rel=0.02, abs=1000)
        assert line.ns_per_byte == pytest.approx(rate, rel=0.02)
        assert line.random_ns == pytest.approx(seek, rel=0.02)
        assert line.r2 > 0.99
        # AND the model replays what was recorded
        replayed, recorded = found.fits[op].replayed, found.fits[op].recorded
        assert replayed["mean_ns"] == pytest.approx(recorded["mean_ns"], rel=0.02)
        assert replayed["p99_ns"] == pytest.approx(recorded["p99_ns"], rel=0.05)


def test_what_requests_of_one_size_cannot_tell_is_said(tmp_path: Path) -> None:
    # GIVEN requests of one size
    trace = of_a_device(tmp_path / "disk.csv", 1, size=4096)
    found = replay.calibrate(trace, format=OPTIONS)
    # THEN there is no rate, and that is said
    line = found.lines["read"]
    assert line.ns_per_byte == 0
    assert line.base_ns == pytest.approx(70_000 + 1024, rel=0.01)
    assert line.notes == [
        "all are of 4,096 B: what a byte takes is not told, and base_ns holds for "
        "this size alone"
    ]


def test_a_trace_without_completions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.csv"
    path.write_text("at,off,len,op\n0,0,4096,R\n")
    columns = "time=at:ns,offset=off:B,size=len:B,op=op"
    options = replay.FormatOptions(name="csv", columns=columns)
    with pytest.raises(replay.ScenarioError, match="there is nothing to fit"):
        replay.calibrate(path, format=options)


def test_two_devices_need_a_choice(shared: Path) -> None:
    trace = shared / "ground-truth" / "6.1" / "direct-unlimited"
    overrides = ['trace.devices=["7:0", "254:32"]']
    with pytest.raises(replay.ScenarioError, match="has 7:0 and 254:32: say which"):
        replay.calibrate(trace, overrides=overrides)
    assert replay.calibrate(trace, device="254:32").device == "254:32"


def test_iocost_terms_cost_a_request_what_the_line_says() -> None:
    # GIVEN 100 us a read and 1 ns a byte, 900 us more if random, on two places
    line = Line(
        base_ns=100_000,
        ns_per_byte=1.0,
        random_ns=900_000,
        n=10,
        n_random=5,
        least_bytes=4096,
        most_bytes=65536,
        r2=1.0,
    )
    bps, seqiops, randiops = iocost_terms(line, 2)
    # THEN in device time, as block/blk-iocost.c reckons, a page costs 4096 B of the
    # rate and the rest of a 4 KiB I/O the base: half of each, two being served at once
    page_ns = 4096 / bps * 1e9
    assert page_ns == pytest.approx(4096 / 2, rel=1e-3)
    assert 1e9 / seqiops - page_ns == pytest.approx(100_000 / 2, rel=1e-3)
    assert 1e9 / randiops - page_ns == pytest.approx(1_000_000 / 2, rel=1e-3)


def test_sleep_of_memory_high_is_predicted_with_the_fitted_service(
    shared: Path,
) -> None:
    # GIVEN the service of two writers, fitted to the run without a limit
    trace = shared / "ground-truth" / "6.1" / "high-unlimited"
    found = replay.calibrate(trace)
    assert found.parallel is None
    line = found.lines["write"]
    assert line.r2 < 0.01  # of one size: a constant
    # THEN it is the mean of what the worker took, its wait for the other left out
    with replay.open_or_convert(trace) as opened:
        table = opened.table()
    mean = (table["complete_ns"].to_numpy() - table["issue_ns"].to_numpy()).mean()
    assert line.base_ns == pytest.approx(mean, rel=0.05)
