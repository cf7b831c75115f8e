"""The work of a batch: what is still to be done, handed out, and taken in again.

For each trace one preparation, which also tells whether the trace changed, and then its
pairs. Short jobs are put together, so that handing them out costs little beside them.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
from pyarrow import ipc

from replay.common.errors import OutputError, ReplayError, ScenarioError
from replay.dataset.generation import Pairs
from replay.dataset.journal import Journal, Parts
from replay.dataset.layout import DatasetLayout, Manifest
from replay.dataset.lock import HeldDataset
from replay.dataset.outcome import FailedPair
from replay.dataset.plan import NamedScenario, Plan, PlannedTrace
from replay.dataset.rows import (
    FAILED,
    MADE_BY,
    OK,
    RECORD_SCHEMA,
    RUNS,
    State,
    records,
)
from replay.dataset.tasks import (
    Conversion,
    Item,
    Preparation,
    Prepared,
    PrepareJob,
    ReplayJob,
    prepare,
    replay_pairs,
    stamp_of,
)
from replay.parallel.jobs import Outcome, Runner
from replay.trace.file.read import Progress

#: How long a job should take, so that what it costs to hand it out does not matter,
JOB_S: Final = 0.05
#: and how many things it may do, however short they are.
JOB_ITEMS: Final = 64
#: Weight of the last job in the mean of what a thing takes.
_WEIGHT: Final = 0.2


class Pace:
    """The number of items in a job."""

    def __init__(self) -> None:
        self._mean_s = JOB_S

    def size(self, n_left: int, runner: Runner) -> int:
        """Say how many things the next job should do."""
        # towards the end there is something left for everybody
        fair = -(-n_left // (2 * runner.width))
        return max(1, min(JOB_ITEMS, fair, int(JOB_S / max(self._mean_s, 1e-9))))

    def took(self, seconds: float, n_items: int) -> None:
        """Learn what a job took."""
        self._mean_s += _WEIGHT * (seconds / n_items - self._mean_s)


class Work:
    """A batch's work, to be done and done.

    Attributes
    ----------
    journal : Journal
        Takes what is finished.
    n_pairs : int
        Pairs that are asked for.
    n_replayed, n_kept : int
        See `replay.dataset.outcome.BatchReport`.
    again : list of str
        Why pairs that are there are done again.
    notes : Counter of str
        What those that were replayed told of themselves, and how many did.
    failures : list of FailedPair
    """

    def __init__(
        self,
        plan: Plan,
        known: dict[tuple[str, str], State],
        journal: Journal,
        conversion: Conversion,
        traces: Any,
        progress: Progress | None,
    ) -> None:
        self.journal = journal
        self.n_pairs = plan.n_pairs
        self.n_replayed = self.n_kept = 0
        self.again: list[str] = []
        self.failures: list[FailedPair] = []
        self.notes: Counter[str] = Counter()
        self._known = known
        self._conversion = conversion
        self._place = traces
        self._progress = progress
        self._traces: deque[PlannedTrace] = deque(plan.traces)
        self._items: deque[Item] = deque()
        # jobs that killed their worker, taken apart
        self._alone: deque[Item | PlannedTrace] = deque()
        self._n_traces = len(self._traces)
        self._n_prepared = 0
        self._prepare_pace, self._replay_pace = Pace(), Pace()

    @property
    def n_settled(self) -> int:
        """Pairs that are done with."""
        return self.n_replayed + self.n_kept + len(self.failures)

    def run(self, runner: Runner) -> None:
        """Do it all.

        Parameters
        ----------
        runner : Runner
            Has no pending job.

        Raises
        ------
        OSError
            What is finished cannot be written.
        OutputError
            A worker cannot write a converted trace.
        """
        while True:
            while runner.pending < 2 * runner.width and self._submit(runner):
                pass
            if not runner.pending:
                return
            self._take(runner.next())
            self.journal.tick()
            if self._progress is not None:
                total = self._n_traces + self.n_pairs
                self._progress(self._n_prepared + self.n_settled, total)

    def _submit(self, runner: Runner) -> bool:
        """Hand out a job, pairs first; return True if there was one."""
        if self._alone:
            one = self._alone.popleft()
            if isinstance(one, Item):
                self._replay(runner, [one])
            else:
                self._prepare(runner, [one])
            return True
        if self._items:
            n_items = self._replay_pace.size(len(self._items), runner)
            self._replay(runner, [self._items.popleft() for _ in range(n_items)])
            return True
        if self._traces:
            n_traces = self._prepare_pace.size(len(self._traces), runner)
            found = [self._traces.popleft() for _ in range(n_traces)]
            found = [trace for trace in found if not self._settled(trace)]
            if found:
                self._prepare(runner, found)
            return True
        return False

    def _replay(self, runner: Runner, items: list[Item]) -> None:
        runner.submit(items, replay_pairs, ReplayJob(items=items))

    def _prepare(self, runner: Runner, traces: list[PlannedTrace]) -> None:
        items = [self._preparation(trace) for trace in traces]
        job = PrepareJob(items=items, conversion=self._conversion, traces=self._place)
        runner.submit(traces, prepare, job)

    def _preparation(self, trace: PlannedTrace) -> Preparation:
        """Say what is known of a trace, so that what did not change is not read."""
        assert trace.source is not None
        states = [self._known.get((trace.name, name)) for name in trace.scenarios]
        there = [one for one in states if one is not None and one.input_sha256]
        stamps = {(one.stamp, one.input_sha256) for one in there}
        return Preparation(
            source=trace.source,
            known=stamps.pop() if len(stamps) == 1 else None,
            settled=all(
                state is not None and not self._changed(state, scenario, None)
                for state, scenario in zip(
                    states, trace.scenarios.values(), strict=True
                )
            ),
        )

    def _changed(
        self, old: State, scenario: NamedScenario, input_sha256: str | None
    ) -> str:
        """Say why a pair that is there is not what is asked for; empty if it is."""
        if old.status != OK:
            return "they failed before"
        if input_sha256 not in (None, old.input_sha256):
            return "their trace changed"
        if old.scenario_sha256 != scenario.sha256:
            return "their scenario changed"
        if old.options_sha256 != self._conversion.sha256:
            return "other options for their trace"
        return "" if old.version == MADE_BY else "made by another version of the model"

    def _settled(self, trace: PlannedTrace) -> bool:
        """Settle what needs no worker; return True if nothing is left of the trace."""
        if trace.source is None:
            self._give_up(trace, trace.error)
            return True
        bad = [one for one in trace.scenarios.values() if one.scenario is None]
        for scenario in bad:
            self._fail(self._state(trace.name, scenario), scenario.error)
            del trace.scenarios[scenario.name]
        if trace.scenarios and not self._unchanged(trace):
            return False
        self._n_prepared += 1
        self.n_kept += len(trace.scenarios)
        return True

    def _unchanged(self, trace: PlannedTrace) -> bool:
        """Tell of a local trace, without reading it, that it is there as asked for."""
        item = self._preparation(trace)
        if not item.settled or item.known is None or item.source.place.local is None:
            return False
        try:
            source = item.source
            return stamp_of(source.files(), source.beside()) == item.known[0]
        except (ReplayError, OSError):
            # the worker's word is the failure's text
            return False

    def _take(self, outcome: Outcome) -> None:
        """Take in what became of a job."""
        if isinstance(outcome.error, OutputError):
            raise outcome.error
        if isinstance(outcome.tag[0], Item):
            self._take_pairs(outcome.tag, outcome)
        else:
            self._take_traces(outcome.tag, outcome)

    def _take_traces(self, traces: Sequence[PlannedTrace], outcome: Outcome) -> None:
        if outcome.error is not None:
            if len(traces) == 1:
                self._give_up(traces[0], _told(outcome.error))
            else:
                self._alone.extend(traces)
            return
        prepared, seconds = outcome.value
        self._prepare_pace.took(seconds, len(traces))
        for trace, made in zip(traces, prepared, strict=True):
            if made.error:
                self._give_up(trace, made.error)
                continue
            self._n_prepared += 1
            for scenario in trace.scenarios.values():
                self._sort_out(trace, scenario, made)

    def _sort_out(
        self, trace: PlannedTrace, scenario: NamedScenario, made: Prepared
    ) -> None:
        """Put a pair among those that are to be replayed, unless it is there."""
        old = self._known.get((trace.name, scenario.name))
        if old is not None:
            reason = self._changed(old, scenario, made.input_sha256)
            if not reason:
                self.n_kept += 1
                return
            self.again.append(reason)
        assert made.trace is not None
        state = self._state(trace.name, scenario, made)
        try:
            wanted = scenario.beginning_with(made.facts)
        except ScenarioError as error:
            self._fail(state, str(error))
            return
        item = Item(
            trace=made.trace,
            scenario=wanted,
            state=state,
            interval=self._conversion.interval,
            requests=self._conversion.requests,
            beside=trace.beside if scenario.recipe.given is None else None,
        )
        self._items.append(item)

    def _take_pairs(self, items: Sequence[Item], outcome: Outcome) -> None:
        if outcome.error is not None:
            if len(items) == 1:
                self._fail(items[0].state, _told(outcome.error))
            else:
                self._alone.extend(items)
            return
        payload, seconds = outcome.value
        self._replay_pace.took(seconds, len(items))
        batch = ipc.read_record_batch(pa.py_buffer(payload), RECORD_SCHEMA)
        self.journal.add(batch)
        for failure in _failures(batch):
            self.failures.append(failure)
            self.n_replayed -= 1
        self.n_replayed += len(items)
        for run in batch.column(RUNS).to_pylist():
            self.notes.update(list(dict.fromkeys(run[0]["notes"] or ())))

    def _state(
        self, trace: str, scenario: NamedScenario, made: Prepared | None = None
    ) -> State:
        return State(
            trace=trace,
            scenario=scenario.name,
            status=FAILED,
            stamp=made.stamp if made else "",
            input_sha256=made.input_sha256 if made else "",
            options_sha256=self._conversion.sha256,
            scenario_sha256=scenario.sha256,
            version=MADE_BY,
        )

    def _give_up(self, trace: PlannedTrace, error: str) -> None:
        """Let all pairs of a trace fail."""
        self._n_prepared += 1
        for scenario in trace.scenarios.values():
            state = self._state(trace.name, scenario)
            self._fail(state, scenario.error or error)

    def _fail(self, state: State, error: str) -> None:
        self.journal.add(records([(state, error)]))
        self.failures.append(FailedPair(state.trace, state.scenario, error))


def open_work(
    layout: DatasetLayout,
    manifest: Manifest,
    plan: Plan,
    conversion: Conversion,
    progress: Progress | None,
    held: HeldDataset,
) -> Work:
    """Look what of a plan is there.

    Parameters
    ----------
    layout : DatasetLayout
        Held by the caller, and recovered.
    manifest : Manifest
    plan : Plan
    conversion : Conversion
    progress : callable or None
    held : HeldDataset
        The lock of the dataset.

    Returns
    -------
    Work
    """
    pairs = Pairs.read(layout, manifest.generation)
    known = {state.pair: state for state in pairs.states}
    with Parts(layout, manifest.generation) as parts:
        known |= {pair: state for pair, (state, _) in parts.found.items()}
        journal = Journal(
            layout, manifest.generation, parts.next_number, check=held.check
        )
    return Work(plan, known, journal, conversion, layout.traces, progress)


def _failures(batch: pa.RecordBatch) -> Iterator[FailedPair]:
    statuses = batch.column("status").to_pylist()
    for row, status in enumerate(statuses):
        if status == FAILED:
            trace, scenario = (
                batch.column(n)[row].as_py() for n in ("trace", "scenario")
            )
            error = batch.column(RUNS)[row].as_py()[0]["error"]
            yield FailedPair(trace, scenario, error)


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
