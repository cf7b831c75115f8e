"""Replay a trace under a scenario."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.engine._engine import Engine
from replay.engine.layout import raw_tables, requests_table
from replay.engine.raw import Raw
from replay.engine.setup import ArrivalMode
from replay.engine.streams import Streams, infer_streams
from replay.feed import Part, ahead, parts
from replay.interval import fit_interval, interval_text, parse_interval
from replay.pipeline import RowsAgain, read_and_replay
from replay.report.format import time_text
from replay.results.dependence import dependence
from replay.results.info import run_info
from replay.results.result import Result
from replay.results.tables import Names
from replay.results.write import OutputDirectory, RequestsWriter, ResultSink
from replay.scenario.bind import Binding
from replay.scenario.caught import Caught
from replay.scenario.load import Scenario
from replay.scenario.overrides import check_overrides
from replay.trace.convert import open_or_convert, open_source
from replay.trace.file import Progress, Trace
from replay.trace.formats.options import FormatOptions
from replay.trace.kept import KeptRows
from replay.trace.metadata import Summary
from replay.trace.schema import device_text
from replay.version import VERSION

if TYPE_CHECKING:
    from replay.trace.filters import Filters


def run(
    trace: Trace | str | Path | Sequence[str | Path],
    scenario: Scenario | Mapping[str, Any] | str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    assign: str | Path | None = None,
    cgroups: str | Path | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    requests: bool = False,
    batch_rows: int | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
    filters: "Filters | None" = None,
    interval: str | int | None = None,
) -> Result:
    """Replay a trace under a scenario.

    Parameters
    ----------
    trace : Trace, path or sequence of paths
        An opened trace, a trace file, or anything that `convert` reads.
    scenario : Scenario, mapping, path or None
        None is the driver of Linux 5.14 without limits.
    overrides : sequence of str
        ``KEY=VALUE``, as on the command line.
    assign : path or None
        TOML with nothing but ``[[assign]]``: rules that stand before the scenario's.
    cgroups : path or None
        File of "id path" lines, for a trace that is given by its path.
    output : path or None
        Directory to make for the tables; it appears whole or not at all.
    overwrite : bool
        Whether a result that is there may be replaced.
    requests : bool
        Keep a row for every request.
    batch_rows : int or None
        Rows handed to the engine at once; the results are the same whatever it is.
    threads : int
        With 2 or more a second thread reads ahead; the results are the same.
    progress : callable or None
        Told of rows done and rows in all (of bytes, while a recording is converted).
    format : str, FormatOptions or None
        The recording's format by name, with what else it must be told; None is found
        by content where that is safe.
    filters : Filters or None
        Which requests to replay, of a trace that is given by its path.
    interval : str, int or None
        Make a timeline of intervals this long: ``"1s"``, ``"100ms"``, an integer of ns.
        It is widened, and a note says so, where the rows would be too many.

    Returns
    -------
    Result

    Raises
    ------
    TraceError
        The trace cannot be read.
    ScenarioError
        The scenario is not valid, or does not fit the trace.
    ModelError
        The engine refuses a request.
    OutputError
        The output exists already, or cannot be written.
    """
    if (batch_rows is not None and batch_rows < 1) or threads < 1:
        raise ValueError("batch_rows and threads must be positive")
    interval_ns = 0 if interval is None else parse_interval(interval)
    started = time.perf_counter()
    wanted = _scenario(scenario, overrides, assign)
    target = None if output is None else Path(output)
    if target is not None:
        OutputDirectory(target, overwrite=overwrite).check()
    with ExitStack() as stack:
        opened: Trace | KeptRows | RowsAgain
        guess = None
        if isinstance(trace, Trace):
            opened = trace
        elif filters:
            opened = stack.enter_context(
                open_or_convert(
                    trace,
                    cgroups=cgroups,
                    threads=threads,
                    progress=progress,
                    format=format,
                    filters=filters,
                )
            )
        else:
            source = stack.enter_context(
                open_source(trace, cgroups=cgroups, progress=progress, format=format)
            )
            if isinstance(source, Trace):
                opened = stack.enter_context(source)
            else:
                opened, guess = read_and_replay(
                    source,
                    stack.enter_context(KeptRows(source.path)),
                    wanted,
                    batch_rows=batch_rows,
                    threads=threads,
                    # they are written while the engine runs
                    guess=not requests and not interval_ns,
                )
        bound_from = time.perf_counter()
        binding = wanted.bind(opened)
        check_overrides(overrides, binding)
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
        with ResultSink(
            names, output=target, overwrite=overwrite, requests=requests
        ) as sink:
            replay_from = time.perf_counter()
            caught = Caught(binding.scenario.assign) if binding.assigns else None
            if guess is not None and guess.holds(binding):
                raw, streams = guess.raw, None
            else:
                raw, streams = _replay(
                    opened,
                    binding,
                    sink.requests,
                    batch_rows,
                    threads,
                    progress,
                    caught,
                )
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
                notes=[*binding.notes, *opened.metadata.summary.notes],
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


def _scenario(
    scenario: Scenario | Mapping[str, Any] | str | Path | None,
    overrides: Sequence[str],
    assign: str | Path | None,
) -> Scenario:
    if isinstance(scenario, (str, Path)):
        return Scenario.load(scenario, overrides=overrides, assign=assign)
    if isinstance(scenario, Scenario):
        if overrides or assign is not None:
            raise ValueError(
                "overrides and assign are for a scenario that is not made yet"
            )
        return scenario
    return Scenario.from_dict(scenario or {}, overrides=overrides, assign=assign)


def _with_timeline(binding: Binding, interval_ns: int, summary: Summary) -> Binding:
    """Ask for a timeline; note it where the intervals had to be widened."""
    span_ns = summary.end_ns - summary.start_ns
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
    trace: Trace | KeptRows | RowsAgain,
    binding: Binding,
    requests: RequestsWriter | None,
    batch_rows: int | None,
    threads: int,
    progress: Progress | None,
    caught: Caught | None,
) -> tuple[Raw, Streams | None]:
    """Run the engine over all rows; return everything but the requests.

    With dependent arrivals also what each of them was taken to wait for.
    """
    setup = binding.setup
    engine = Engine(setup, requests is not None)

    def drain(n_done: int) -> None:
        if requests is not None:
            requests.append(requests_table(engine.take_requests()))
        if progress is not None:
            progress(n_done, trace.n_rows)

    coming = parts(trace, binding, batch_rows, caught)
    if threads > 1:
        coming = ahead(coming)
    n_done = 0
    streams = None
    if setup.mode == ArrivalMode.DEPENDENT:
        held = list(coming)
        columns = [part.columns for part in held]
        streams = infer_streams(columns)
        engine.follow(columns, [part.service_ns for part in held], streams)
    else:
        part: Part
        for part in coming:
            engine.feed(part.columns, part.service_ns)
            n_done += len(part.columns)
            drain(n_done)
    while engine.advance():
        drain(n_done)
    drain(trace.n_rows)
    return raw_tables(setup, engine.tables(), engine.counts()), streams
