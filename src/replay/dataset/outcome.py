"""A batch's outcome, for the user."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from replay.common.plain import plain
from replay.common.text import MOST_NOTES, count_text, json_text


class FailedPair(NamedTuple):
    """A pair that failed, and why."""

    trace: str
    scenario: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """A batch's outcome.

    Attributes
    ----------
    dataset : str
        Path or address.
    n_traces, n_pairs : int
        That were asked for.
    replayed : int
        Pairs that were replayed now; those that failed are not among them.
    kept : int
        Pairs that were there already and had not changed.
    again : dict of str to int
        Pairs that were there but not as asked for, by the reason.
    failures : list of FailedPair
        Pairs that failed, by trace and scenario.
    notes : dict of str to int
        Estimates and what is not modelled, as the runs told them that were replayed
        now: how many pairs each is of.
    passed : list of str
        Files that a directory among the inputs does not stand for.
    seconds : float
        Wall time; differs.
    """

    dataset: str
    n_traces: int
    n_pairs: int
    replayed: int
    kept: int
    again: dict[str, int] = field(default_factory=dict)
    failures: list[FailedPair] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Pairs that failed."""
        return len(self.failures)

    def summary(self, *, changes: str = "") -> str:
        """Say what was done, and what failed and why.

        Parameters
        ----------
        changes : str
            What the scenarios change, in words; stands before what is uncertain.

        Returns
        -------
        str
            Plain text. What failed alike for several scenarios of a trace is one line.
        """
        lines = [
            f"{count_text(self.n_pairs, 'pair')} of "
            f"{count_text(self.n_traces, 'trace')} in {plain(self.dataset)}: "
            f"{self.replayed:,} replayed, {self.kept:,} there already, "
            f"{self.failed:,} failed"
        ]
        for reason, count in sorted(self.again.items()):
            lines.append(f"  {count_text(count, 'pair')} again: {reason}")
        lines += [f"  {plain(told)}" for told in self.passed]
        if self.failures:
            lines += ["", "What failed"]
        alike: Counter[tuple[str, str]] = Counter()
        first: dict[tuple[str, str], str] = {}
        for failure in self.failures:
            key = (failure.trace, failure.error)
            alike[key] += 1
            first.setdefault(key, failure.scenario)
        for key, count in alike.items():
            under = first[key] if count == 1 else count_text(count, "scenario")
            lines.append(f"  {plain(key[0])} ({plain(under)}): {plain(key[1])}")
        if changes:
            lines += ["", changes]
        return "\n".join([*lines, *self._told()])

    def _told(self) -> list[str]:
        """Say what the runs told of themselves, and how many of them did."""
        if not self.notes:
            return []
        lines = ["", "Estimates and losses"]
        for note, count in list(self.notes.items())[:MOST_NOTES]:
            of = "" if count == self.replayed else f" ({count_text(count, 'pair')})"
            lines.append(f"  {plain(note)}{of}")
        more = len(self.notes) - MOST_NOTES
        if more > 0:
            lines.append(f"  … and {more:,} more: the table 'runs' has all")
        return lines

    def to_json(self) -> str:
        """Say the same in JSON."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        told["failures"] = [failure._asdict() for failure in self.failures]
        return json_text(told)
