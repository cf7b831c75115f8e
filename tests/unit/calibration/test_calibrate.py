"""A device whose numbers are known is found again in a trace of it."""

import itertools
import random
import tomllib
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import replay
from replay.calibration import samples as samples_module
from replay.calibration.fit import FittedLine, LineFit, iocost_terms
from replay.calibration.model import fit_lines, service_keys
from replay.calibration.samples import DeviceSamples, take_samples
from replay.calibration.times import Times
from replay.calibration.toml import calibration_toml
from replay.engine.reference.structures.histogram import Histogram
from replay.scenario.bind import bind
from replay.scenario.keys.load import Scenario

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
    assert isinstance(found, replay.Calibration)
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
    assert isinstance(found, replay.Calibration)
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


def test_what_is_written_is_what_was_judged(tmp_path: Path) -> None:
    # GIVEN a model that was fitted and written
    found = replay.calibrate(of_a_device(tmp_path / "disk.csv", 4), format=OPTIONS)
    assert isinstance(found, replay.Calibration)
    service = tomllib.loads(calibration_toml(found))["service"]
    # THEN it says what was judged, to the last digit
    judged = Scenario.from_dict(
        {}, overrides=["service.model=linear", *service_keys(found.lines, 4)]
    )
    written = Scenario.from_dict({"service": service})
    assert written.service == judged.service
    for op, line in found.lines.items():
        assert service[op]["ns_per_byte"] == line.ns_per_byte


def line_of(
    rows: Sequence[tuple[int, bool, int]], n_parts: int = 1
) -> FittedLine | None:
    fit = LineFit()
    for part in np.array_split(np.array(rows, np.int64).reshape(-1, 3), n_parts):
        fit.add(part[:, 0], part[:, 1] > 0, part[:, 2])
    return fit.line()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([4096, 8192, 65536, 1 << 20]),
            st.booleans(),
            st.integers(0, 10**8),
        ),
        max_size=30,
    ),
    st.integers(1, 5),
)
def test_a_line_fitted_in_parts_is_the_one_of_least_squares(
    rows: list[tuple[int, bool, int]], n_parts: int
) -> None:
    # GIVEN any service times, a part at a time
    line = line_of(rows, n_parts)
    if not rows:
        assert line is None
        return
    # THEN no line without a negative number is nearer, within what is rounded off
    table = np.array(rows, np.float64)
    columns = np.column_stack([np.ones(len(rows)), table[:, 0], table[:, 1]])
    best = optimize_nnls(columns, table[:, 2])
    assert line is not None
    found = np.array([line.base_ns, line.ns_per_byte, line.random_ns])
    error = np.linalg.norm(table[:, 2] - columns @ found)
    assert error <= best + 2 * len(rows) + 1e-6 * np.linalg.norm(table[:, 2])


def optimize_nnls(columns: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the least distance from the values, by every choice of columns."""
    least = float(np.linalg.norm(values))
    for count in (1, 2, 3):
        for chosen in itertools.combinations(range(3), count):
            part = columns[:, chosen]
            found = np.linalg.lstsq(part, values)[0]
            if (found >= 0).all():
                least = min(least, float(np.linalg.norm(values - part @ found)))
    return least


def test_times_are_measured_as_the_latency_table_has_them() -> None:
    values = np.array([0, 1, 63, 64, 1000, 1000, 123_456_789, 2**50], np.int64)
    times, histogram = Times(), Histogram()
    for value in values.tolist():
        histogram.add(value)
    times.add(values[:3])
    times.add(values[3:])
    assert times.measures() == {
        "mean_ns": histogram.sum // histogram.count,
        "p50_ns": histogram.percentile(500),
        "p99_ns": histogram.percentile(990),
    }
    assert Times().measures() == {"mean_ns": 0, "p50_ns": 0, "p99_ns": 0}


@pytest.mark.parametrize("parallel", [1, 3, 40])
def test_pieces_give_what_all_samples_at_once_give(
    parallel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(3)
    issue = np.sort(draw.integers(0, 10_000, 1000))
    complete = issue + draw.integers(0, 500, 1000)
    # GIVEN samples that are looked at 7 at a time
    monkeypatch.setattr(samples_module, "PIECE", 7)
    with DeviceSamples("7:0", parallel=True) as samples:
        zeros = np.zeros(1000, np.int64)
        samples.add(
            **dict.fromkeys(["op", "nbytes", "random", "alone_ns"], zeros),
            issue_ns=issue,
            complete_ns=complete,
        )
        samples.finish()
        found = np.concatenate([p.service_ns for p in samples.pieces(parallel)])
        depth = samples.depth()
    # THEN a request begins when the last but `parallel` of those before completed
    done = np.sort(complete)
    begins = [
        max(at, done[n - parallel]) if n >= parallel else at
        for n, at in enumerate(issue.tolist())
    ]
    expected = [
        max(0, end - begin) for begin, end in zip(begins, complete, strict=True)
    ]
    assert found.tolist() == expected
    open_at = [n + 1 - int((done <= at).sum()) for n, at in enumerate(issue)]
    assert depth == max(open_at)


def test_memory_of_the_fit_does_not_grow_with_the_trace(tmp_path: Path) -> None:
    peaks = []
    for n_rows in (100_000, 400_000):
        lines = (f"{n * 200_000},{n * 4096},4096,R,100000" for n in range(n_rows))
        text = tmp_path / "disk.csv"
        text.write_text("at,off,len,op,took\n" + "\n".join(lines))
        with replay.convert(
            [text], tmp_path / f"{n_rows}.arrow", format=OPTIONS
        ) as made:
            binding = bind(Scenario.from_dict({}), made)
            arrow_bytes = pa.total_allocated_bytes()
            tracemalloc.start()
            # WHEN a trace is four times as long
            with take_samples(made, binding) as samples:
                assert len(samples) == n_rows
                assert samples.depth() == 1
                line = fit_lines(samples, 1)["read"]
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert (line.n, line.base_ns) == (n_rows, 100_000)
            assert pa.total_allocated_bytes() - arrow_bytes < 1 << 20
    # THEN no more is held at a time: it is what a piece of it takes
    assert peaks[1] < 1.1 * peaks[0]


def test_two_devices_need_a_choice(recording: Callable[[str], Path]) -> None:
    trace = recording("direct-unlimited")
    overrides = ['trace.devices=["7:0", "254:32"]']
    with pytest.raises(replay.ScenarioError, match="has 7:0 and 254:32: say which"):
        replay.calibrate(trace, overrides=overrides)
    assert replay.calibrate(trace, device="254:32").device == "254:32"


def test_iocost_terms_cost_a_request_what_the_line_says() -> None:
    # GIVEN 100 us a read and 1 ns a byte, 900 us more if random, on two places
    line = FittedLine(
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
    recording: Callable[[str], Path],
) -> None:
    # GIVEN the service of two writers, fitted to the run without a limit
    trace = recording("high-unlimited")
    found = replay.calibrate(trace)
    assert isinstance(found, replay.Calibration)
    assert found.parallel is None
    line = found.lines["write"]
    assert line.r2 < 0.01  # of one size: a constant
    # THEN it is the mean of what the worker took, its wait for the other left out
    with replay.open_or_convert(trace) as opened:
        table = opened.table()
    mean = (table["complete_ns"].to_numpy() - table["issue_ns"].to_numpy()).mean()
    assert line.base_ns == pytest.approx(mean, rel=0.05)
