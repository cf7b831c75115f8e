"""Replay a trace under a scenario."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.capture.facts import recorded_facts
from replay.common.intervals import parse_interval
from replay.common.processors import threads_for
from replay.results.directory import OutputDirectory
from replay.runner.decode_ahead import Decoding, decoded
from replay.scenario.keys.load import Recipe, Scenario
from replay.trace.convert import open_or_convert, open_source
from replay.trace.file.read import Progress, Trace
from replay.trace.formats.options import FormatOptions

if TYPE_CHECKING:
    from replay.results.result import Result
    from replay.trace.file.filters import Filters


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
    threads: int | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
    filters: "Filters | None" = None,
    interval: str | int | None = None,
) -> "Result":
    """Replay a trace under a scenario.

    Parameters
    ----------
    trace : Trace, path or sequence of paths
        An opened trace, a trace file, or anything that `convert` reads. What lies in
        a directory of `replay record` are facts: they hold where the scenario says
        nothing, and limits that held are not applied again.
    scenario : Scenario, mapping, path or None
        None is the driver of Linux 5.14 without limits.
    overrides : sequence of str
        ``KEY=VALUE``, as on the command line.
    assign : path or None
        TOML with nothing but ``[[assign]]``: rules that stand before the scenario's.
    cgroups : path or None
        File of "id path" lines, for a trace that is given by its path.
    output : path or None
        Directory to make for the tables; it appears whole or not at all. Tables of more
        than 131,072 rows are then read from there when they are asked for.
    overwrite : bool
        Whether a result that is there may be replaced.
    requests : bool
        Keep a row for every request.
    batch_rows : int or None
        Rows handed to the engine at once; the results are the same whatever it is.
    threads : int or None
        With 2 or more others read ahead; the results are the same. None: as many as
        there are processors, 8 at most, and 1 for fewer than 16 MiB.
    progress : callable or None
        Told of rows done and rows in all (of bytes, while a recording is converted).
    format : str, FormatOptions or None
        The recording's format by name, with what else it must be told; None is found
        by content where that is safe.
    filters : Filters or None
        Which requests to replay, of a trace that is given by its path.
    interval : str, int or None
        Make a timeline of intervals this long: ``"1s"``, ``"100ms"``, an integer of ns;
        ``"auto"`` for some 200 of them.
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
    if any(one is not None and one < 1 for one in (batch_rows, threads)):
        raise ValueError("batch_rows and threads must be positive")
    interval_ns = 0 if interval is None else parse_interval(interval)
    started = time.perf_counter()
    if isinstance(scenario, Scenario):
        if overrides or assign is not None:
            raise ValueError(
                "overrides and assign are for a scenario that is not made yet"
            )
        wanted = scenario
    else:
        facts = {} if isinstance(trace, Trace) else recorded_facts(trace)
        wanted = Recipe(given=scenario, assign=assign, facts=facts).scenario(overrides)
    target = None if output is None else Path(output)
    if target is not None:
        OutputDirectory(target, overwrite=overwrite).check()
    with ExitStack() as stack:
        if isinstance(trace, Trace):
            opened: Trace | Decoding = trace
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
                # rows are written, and counted by time, while the engine runs
                follow = not requests and not interval_ns
                n_threads = threads_for(source.nbytes, threads)
                opened = stack.enter_context(
                    decoded(
                        source,
                        follow=follow,
                        threads=n_threads,
                        # page by page
                        busy=not wanted.driver.direct_io,
                    )
                )
        # imported while a second thread decodes, if there is one
        from replay.runner.play import play

        return play(
            opened,
            wanted,
            overrides=overrides,
            output=target,
            overwrite=overwrite,
            requests=requests,
            batch_rows=batch_rows,
            threads=threads,
            progress=progress,
            interval_ns=interval_ns,
            started=started,
        )
