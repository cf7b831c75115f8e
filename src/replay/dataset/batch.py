"""Replay many traces under many scenarios into one dataset."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import structs

from replay.common.addresses import without_secrets
from replay.common.errors import OutputError
from replay.common.intervals import parse_interval
from replay.dataset.layout import MOST_NAMED, DatasetLayout, check_target
from replay.dataset.lock import locked
from replay.dataset.outcome import BatchReport
from replay.dataset.places import Place
from replay.dataset.plan import Plan, Wanted
from replay.dataset.publish import publish, recover
from replay.dataset.tasks import Conversion
from replay.dataset.work import Work, open_work
from replay.parallel.jobs import Runner
from replay.parallel.pool import Pool
from replay.trace.convert import format_options
from replay.trace.file.filters import Filters
from replay.trace.file.read import Progress
from replay.trace.formats.options import FormatOptions


def batch(
    inputs: str | Path | Sequence[str | Path] = (),
    scenarios: str | Path | Sequence[str | Path] = (),
    *,
    output: str | Path,
    pairs: str | Path | Sequence[str | Path] = (),
    policies: Sequence[str] = (),
    overrides: Sequence[str] = (),
    assign: str | Path | None = None,
    cgroups: str | Path | None = None,
    format: str | FormatOptions | None = None,
    filters: Filters | None = None,
    interval: str | None = None,
    requests: bool = False,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> BatchReport:
    """Replay every trace under every scenario, into one dataset.

    What a dataset holds already is not done again if trace and scenario are the same,
    so a call that was interrupted, whatever the reason, is finished by the same call.
    Nobody else is stopped by a pair that fails.

    Parameters
    ----------
    inputs : path or sequence of paths
        Files, base names, directories, patterns or addresses; see ``docs/batch.md``.
    scenarios : path or sequence of paths
        Each is paired with every input; without one the default scenario is.
    output : path
        The dataset, a directory or an address; made, or added to.
    pairs : path or sequence of paths
        CSV files of pairs, with columns ``trace`` and ``scenario``.
    policies : sequence of str
        Values of ``driver.policy``: each pair is replayed under each of them.
    overrides : sequence of str
        ``KEY=VALUE``, for every scenario.
    assign, cgroups, format, filters
        As for `replay.run`, for every trace.
    interval : str or None
        Make a timeline of each pair, of intervals this long (``"1s"``, ``"auto"``).
    requests : bool
        Keep a row for each request of each pair; memory and dataset grow with them.
    jobs : int or None
        Worker processes; by default one for each processor.
    cluster : str or None
        Address of the scheduler of a Dask cluster that does the work instead.
    progress : callable or None
        Told of steps done and steps in all: a trace is one, and a pair is one.

    Returns
    -------
    BatchReport

    Raises
    ------
    TraceError
        An input names nothing, or a list of pairs cannot be read.
    ScenarioError
        A scenario that every trace is paired with is not valid.
    OutputError
        The dataset is held by another batch, is none, or cannot be written. What is
        finished is kept.
    """
    began = time.perf_counter()
    if jobs is not None and jobs < 1:
        raise ValueError("jobs must be positive")
    if interval is not None:
        parse_interval(interval)
    plan = Plan(Wanted(overrides=overrides, policies=policies, assign=assign))
    plan.cross(_texts(inputs), _texts(scenarios))
    for path in _texts(pairs):
        plan.listed(path)
    conversion = Conversion.of(
        None if format is None else format_options(format),
        filters,
        cgroups,
        interval,
        requests=requests,
    )
    layout = DatasetLayout(Place.of(output))
    output = without_secrets(str(output))
    with _writing(output):
        check_target(layout.root, output)
        layout.internal.make_directory()
        with locked(layout) as held:
            manifest = recover(layout, held)
            named = dict.fromkeys((*manifest.scenarios, *plan.scenarios))
            manifest = structs.replace(manifest, scenarios=list(named)[:MOST_NAMED])
            work = open_work(layout, manifest, plan, conversion, progress, held)
            with _runner(jobs, cluster) as runner:
                _do(work, runner, output)
            if work.journal.holds_parts or not manifest.tables:
                publish(layout, manifest, held)
    return BatchReport(
        dataset=output,
        n_traces=len(plan.traces),
        n_pairs=work.n_pairs,
        replayed=work.n_replayed,
        kept=work.n_kept,
        again=dict(Counter(work.again)),
        failures=sorted(work.failures),
        notes=dict(work.notes.most_common()),
        passed=plan.passed,
        seconds=time.perf_counter() - began,
    )


def _texts(paths: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]


def _do(work: Work, runner: Runner, output: str | Path) -> None:
    """Do the work; whatever stops it, what is finished is kept."""
    try:
        work.run(runner)
    except BaseException as error:
        with suppress(OSError, OutputError):
            work.journal.flush()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise OutputError(
                f"{output}: cannot be written: {reason}; {work.n_settled:,} of "
                f"{work.n_pairs:,} pairs were finished, and the same command goes on "
                "from the last that were kept"
            ) from error
        raise
    work.journal.flush()


@contextmanager
def _runner(jobs: int | None, cluster: str | None) -> Iterator[Runner]:
    if cluster is None:
        with Pool(jobs) as pool:
            yield pool
        return
    from replay.parallel.cluster import Cluster

    with Cluster(cluster) as there:
        yield there


@contextmanager
def _writing(output: str | Path) -> Iterator[None]:
    """Turn a failure to write into one line that names the dataset."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{output}: cannot be written: {error.strerror or error}; what is finished "
            "is kept, and the same command goes on from there"
        ) from error
