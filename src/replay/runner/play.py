"""A scenario and a trace that was opened become a result."""

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from replay.capture.gap import recording_notes
from replay.common.errors import ScenarioError
from replay.common.huge import say_huge
from replay.common.intervals import (
    AUTO_NS,
    auto_interval,
    fit_interval,
    interval_text,
)
from replay.common.processors import threads_for
from replay.common.text import count_text, size_text, time_text
from replay.common.version import VERSION
from replay.engine._engine import Engine
from replay.engine.dependence import Streams, infer_streams
from replay.engine.layout import raw_tables, requests_table
from replay.engine.raw import Raw
from replay.engine.setup import ArrivalMode
from replay.results.dependence import dependence
from replay.results.result import Result
from replay.results.run_info import run_info
from replay.results.sink import ResultSink
from replay.results.tables import Names
from replay.results.write import RequestsWriter
from replay.runner.ahead import Ahead
from replay.runner.decode_ahead import Decoding
from replay.runner.feed import Errors, FedRows, ahead, bites, error_notes, parts
from replay.runner.recorded_columns import RecordedColumns
from replay.runner.speculate import RowsAgain, read_and_replay
from replay.scenario.bind import Binding, bind
from replay.scenario.binding.caught import Caught
from replay.scenario.keys.load import Scenario
from replay.scenario.overrides import check_overrides
from replay.trace.file.metadata import Summary
from replay.trace.file.read import Progress, Trace
from replay.trace.file.schema import device_text
from replay.trace.file.spill import KeptRows
from replay.trace.rows import Rows

#: Of a row in a trace file.
_ROW_BYTES: Final = 69
#: Of pages that the engine is asked for at once: about a second.
_BITE_BYTES: Final = 1 << 34
#: Of pages in all: what takes longer than a minute is said.
_HUGE_BYTES: Final = 1 << 40


def play(
    source: Trace | Decoding,
    scenario: Scenario,
    *,
    overrides: Sequence[str],
    output: Path | None,
    overwrite: bool,
    requests: bool,
    batch_rows: int | None,
    threads: int | None,
    progress: Progress | None,
    interval_ns: int,
    started: float,
) -> Result:
    """Replay what was opened; see `replay.run` for what is not said here.

    Parameters
    ----------
    source : Trace or Decoding
        Its rows, or a recording whose rows are being decoded.
    scenario : Scenario
    interval_ns : int
        0 for no timeline.
    started : float
        When the run began, by `time.perf_counter`.

    Returns
    -------
    Result

    Raises
    ------
    TraceError, ScenarioError, ModelError, OutputError
        As `replay.run`.
    """
    with ExitStack() as stack:
        opened: Trace | KeptRows | RowsAgain
        guess = None
        if isinstance(source, Trace):
            opened = source
        else:
            opened, guess = read_and_replay(
                source,
                stack.enter_context(KeptRows(source.recording.path)),
                scenario,
                batch_rows=batch_rows,
            )
        bound_from = time.perf_counter()
        binding = bind(scenario, opened)
        check_overrides(overrides, binding)
        if any(binding.disks):
            binding = _with_disks(scenario, binding, opened)
        if interval_ns:
            binding = _with_timeline(binding, interval_ns, opened.metadata.summary)
            interval_ns = binding.setup.interval_ns
        names = Names(
            cgroups=binding.cgroup_names,
            parents=binding.setup.parent,
            devices=binding.device_names,
            tasks=binding.task_names,
            backing=(
                None
                if binding.backing_device is None
                else device_text(binding.backing_device)
            ),
            interval_ns=interval_ns,
        )
        recorded = None
        if requests:
            # its rows lie in a file or were kept: they are not decoded twice
            assert not isinstance(opened, RowsAgain)
            recorded = RecordedColumns(opened, binding)
        with ResultSink(
            names, output=output, overwrite=overwrite, requests=recorded
        ) as sink:
            replay_from = time.perf_counter()
            caught = Caught(binding.scenario.assign) if binding.assigns else None
            errors: Errors = Counter()
            if guess is not None and guess.holds(binding):
                raw, streams, errors = guess.raw, None, guess.errors
            else:
                raw, streams = _replay(
                    opened,
                    binding,
                    sink.requests,
                    batch_rows,
                    threads,
                    progress,
                    caught,
                    errors,
                )
            if isinstance(opened, Trace):
                # rows that were given out lie in the file, which may have changed
                opened.check_unchanged()
            done = time.perf_counter()
            info = run_info(
                version=VERSION,
                trace=opened.path,
                metadata=opened.metadata,
                devices=binding.device_names,
                scenario=binding.scenario.effective(),
                assign=None if caught is None else caught.report(),
                dependence=(
                    None
                    if streams is None
                    else dependence(
                        streams, opened.metadata.summary.processes, binding.device_names
                    )
                ),
                notes=[
                    *binding.notes,
                    *opened.metadata.summary.notes,
                    *error_notes(errors),
                    *recording_notes(opened),
                ],
                counts=raw["counts"],
                timings={
                    "open_s": bound_from - started,
                    "bind_s": replay_from - bound_from,
                    "replay_s": done - replay_from,
                    "total_s": done - started,
                },
                interval_ns=interval_ns,
            )
            result = sink.finish(raw, info)
    return result


def _with_disks(scenario: Scenario, binding: Binding, opened: Rows) -> Binding:
    """Identify plain disks; where nobody asked for it, go without if that fails."""
    # most traces hold no plain disk, and what identifies one is slow to import
    from replay.runner.disks import with_disks

    try:
        return with_disks(binding, opened)
    except ScenarioError as error:
        if scenario.service.model != "auto":
            raise
        service = replace(scenario.service, model="recorded")
        again = bind(dataclasses.replace(scenario, service=service), opened)
        return replace(again, notes=[*again.notes, str(error)])


def _with_timeline(binding: Binding, interval_ns: int, summary: Summary) -> Binding:
    """Ask for a timeline; note it where the intervals had to be widened."""
    span_ns = summary.end_ns - summary.start_ns
    if interval_ns == AUTO_NS:
        interval_ns = auto_interval(span_ns)
    fitting = fit_interval(interval_ns, span_ns, len(binding.cgroup_names))
    notes = binding.notes
    if fitting != interval_ns:
        notes = [
            *notes,
            f"interval {interval_text(interval_ns)} widened to "
            f"{interval_text(fitting)}: {len(binding.cgroup_names):,} cgroups over "
            f"{time_text(span_ns)} would make too many rows",
        ]
    setup = replace(binding.setup, interval_ns=fitting)
    return replace(binding, setup=setup, notes=notes)


def _replay(
    trace: Rows,
    binding: Binding,
    requests: RequestsWriter | None,
    batch_rows: int | None,
    threads: int | None,
    progress: Progress | None,
    caught: Caught | None,
    errors: Errors,
) -> tuple[Raw, Streams | None]:
    """Run the engine over all rows; return everything but the requests.

    With dependent arrivals also what each of them was taken to wait for.
    """
    disks = Ahead.of(binding.setup)
    tables, counts, streams = _run_engine(
        trace, binding, requests, batch_rows, threads, progress, caught, disks, errors
    )
    # the engine's memory is free before that of the columns is taken
    raw = raw_tables(binding.setup, tables, counts)
    if disks is not None:
        disks.add_to(raw)
    return raw, streams


def _say_huge(trace: Rows) -> None:
    """Say so if there are so many pages to touch that it takes long."""
    summary = trace.metadata.summary
    nbytes = sum(one.nbytes for one in summary.cgroups)
    if nbytes > _HUGE_BYTES:
        say_huge(
            f"{count_text(summary.n_rows, 'request')} of {size_text(nbytes)} go page "
            f"by page, {nbytes >> 12:,} pages: this takes minutes and much memory"
        )


def _run_engine(
    trace: Rows,
    binding: Binding,
    requests: RequestsWriter | None,
    batch_rows: int | None,
    threads: int | None,
    progress: Progress | None,
    caught: Caught | None,
    disks: Ahead | None,
    errors: Errors,
) -> tuple[dict[str, bytes], dict[str, int], Streams | None]:
    """Return what the engine counted as it hands it over."""
    setup = binding.setup
    engine = Engine(setup, requests is not None)

    def drain(n_done: int) -> None:
        if requests is not None:
            requests.append(requests_table(engine.take_requests()))
        if progress is not None:
            progress(n_done, trace.n_rows)

    coming = parts(trace, binding, batch_rows, caught, errors)
    if not setup.direct_io and (setup.tmpfs or setup.cached):
        _say_huge(trace)
        coming = bites(coming, _BITE_BYTES)
    if threads_for(trace.n_rows * _ROW_BYTES, threads) > 1:
        coming = ahead(coming)
    n_done = 0
    streams = None
    if setup.mode == ArrivalMode.DEPENDENT:
        held = list(coming)
        columns = [part.columns for part in held]
        if disks is not None:
            # what they waited in the recording stays as it was
            for one in columns:
                disks.add(one)
        streams = infer_streams(columns)
        engine.follow(columns, [part.service_ns for part in held], streams)
    else:
        part: FedRows
        for part in coming:
            engine.feed(part.columns, part.service_ns)
            if disks is not None:
                disks.add(part.columns)
            n_done += len(part.columns)
            drain(n_done)
    while engine.advance():
        drain(n_done)
    drain(trace.n_rows)
    return engine.tables(), engine.counts(), streams
