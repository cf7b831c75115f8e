"""A batch's plan: its traces and its scenarios.

Every input is paired with every scenario; a list of pairs is a CSV file with a column
``trace`` and, if it is wanted, a column ``scenario``. With policies each pair
stands for several, one for each: its scenario is then called ``NAME:POLICY``.
"""

import csv
import io
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from replay.common.addresses import without_secrets
from replay.common.errors import ReplayError, ScenarioError, TraceError
from replay.dataset.beside import Beside, scenario_beside
from replay.dataset.places import Place
from replay.dataset.sources import BatchTrace, find_sources
from replay.results.run_info import identity
from replay.scenario.keys.given import read_toml
from replay.scenario.keys.load import Recipe, Scenario

#: What the scenario is called that says nothing.
DEFAULT: Final = "default"
_SUFFIX: Final = ".toml"
_COLUMNS: Final = ("trace", "scenario")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedScenario:
    """A scenario of a batch.

    Attributes
    ----------
    name : str
        The column ``scenario``.
    scenario : Scenario or None
        None if it cannot be read;
    error : str
        then this says why.
    sha256 : str
        Of its keys; empty if it cannot be read.
    recipe : Recipe
    overrides : tuple of str
        What it is made of.
    """

    name: str
    scenario: Scenario | None
    error: str = ""
    sha256: str = ""
    recipe: Recipe = field(default_factory=Recipe, compare=False)
    overrides: tuple[str, ...] = field(default=(), compare=False)

    def beginning_with(self, facts: Mapping[str, object]) -> Scenario:
        """Make the scenario of a trace whose recording says something of itself.

        Raises
        ------
        ScenarioError
            The two do not go together.
        """
        assert self.scenario is not None
        if not facts:
            return self.scenario
        return replace(self.recipe, facts=facts).scenario(self.overrides)


@dataclass(slots=True, kw_only=True)
class PlannedTrace:
    """A trace with its scenarios; without a source, and why, if it was not found."""

    name: str
    source: BatchTrace | None
    error: str = ""
    scenarios: dict[str, NamedScenario] = field(default_factory=dict)
    #: A scenario file of its name that was not asked for.
    beside: Beside | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Changes to the scenarios of a batch.

    Attributes
    ----------
    overrides : sequence of str
        ``KEY=VALUE``, for every scenario.
    policies : sequence of str
        Values of ``driver.policy``, each of which makes another scenario.
    assign : str, Path or None
        Rules that stand before every scenario's.
    """

    overrides: Sequence[str] = ()
    policies: Sequence[str] = ()
    assign: str | Path | None = None


class Plan:
    """Traces and their scenarios, without doubles.

    Parameters
    ----------
    wanted : Wanted
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        #: What is to be said of files that no input stands for.
        self.passed: list[str] = []
        self._traces: dict[str, PlannedTrace] = {}
        self._scenarios: dict[tuple[str, str], list[NamedScenario]] = {}

    @property
    def traces(self) -> list[PlannedTrace]:
        """All traces by name, and of each its scenarios by name."""
        found = [self._traces[name] for name in sorted(self._traces)]
        for trace in found:
            trace.scenarios = dict(sorted(trace.scenarios.items()))
        return found

    @property
    def scenarios(self) -> list[str]:
        """All scenarios by name, in the order in which they were named."""
        named = (one.name for group in self._scenarios.values() for one in group)
        return list(dict.fromkeys(named))

    @property
    def n_pairs(self) -> int:
        """Pairs of a trace and a scenario."""
        return sum(len(trace.scenarios) for trace in self._traces.values())

    def cross(self, inputs: Iterable[str], scenarios: Sequence[str]) -> None:
        """Pair every input with every scenario; without one, with the default.

        Raises
        ------
        TraceError
            An input names nothing.
        ScenarioError
            A scenario cannot be read.
        """
        named = [one for text in scenarios or [""] for one in self._named(text, None)]
        for one in named:
            if one.scenario is None:
                raise ScenarioError(one.error)
        for text in inputs:
            for source in find_sources(text, passed=self.passed):
                self._pair(source.name, source, "", named)
                if not scenarios:
                    beside = scenario_beside(source.name, source.place)
                    self._traces[source.name].beside = beside
        self._tell_beside()

    def _tell_beside(self) -> None:
        """Say how many scenario files lie beside recordings and were not asked for."""
        paths = [one.beside.path for one in self._traces.values() if one.beside]
        if paths:
            one = len(paths) == 1
            files = "a scenario file lies" if one else f"{len(paths):,} scenario files"
            self.passed.append(
                f"{files}{'' if one else ' lie'} beside the recording of the same name "
                f"({paths[0]}{'' if one else ', ...'}) and {'was' if one else 'were'} "
                "not asked for: --pairs LIST.csv takes each trace with its own; notes "
                "say what differs from what is taken here"
            )

    def listed(self, path: str | Path) -> None:
        """Add the pairs of a list; what a row names is found from the list's place.

        A row whose trace or scenario is not there is a pair that fails.

        Raises
        ------
        TraceError
            The list cannot be read, or is none.
        """
        place = Place.of(path)
        for trace, scenario in _rows(place, without_secrets(str(path))):
            named = self._named(scenario, place.parent)
            try:
                sources = find_sources(trace, place.parent, self.passed)
            except (ReplayError, OSError) as error:
                told = without_secrets(str(error))
                self._pair(without_secrets(trace), None, told, named)
                continue
            for source in sources:
                self._pair(source.name, source, "", named)

    def _pair(
        self,
        name: str,
        source: BatchTrace | None,
        error: str,
        scenarios: Iterable[NamedScenario],
    ) -> None:
        planned = self._traces.setdefault(
            name, PlannedTrace(name=name, source=source, error=error)
        )
        if planned.source != source:
            raise TraceError(
                f"{name}: two traces are called so: name them from one directory"
            )
        for one in scenarios:
            other = planned.scenarios.setdefault(one.name, one)
            if other.sha256 != one.sha256 or other.error != one.error:
                raise ScenarioError(
                    f"{one.name}: two scenarios are called so: name them from one "
                    "directory"
                )

    def _named(self, text: str, base: Place | None) -> list[NamedScenario]:
        """Read a scenario, once, as it is or under each policy."""
        key = (text, base.text if base else "")
        if key not in self._scenarios:
            shown = without_secrets(text).removeprefix("./")
            name = shown.removesuffix(_SUFFIX) or DEFAULT
            self._scenarios[key] = [
                _read(
                    f"{name}:{policy}" if policy else name,
                    text,
                    base,
                    [*self._wanted.overrides, *_setting(policy)],
                    self._wanted.assign,
                )
                for policy in self._wanted.policies or [""]
            ]
        return self._scenarios[key]


def _setting(policy: str) -> list[str]:
    return [f"driver.policy={policy}"] if policy else []


def _read(
    name: str,
    text: str,
    base: Place | None,
    overrides: Sequence[str],
    assign: str | Path | None,
) -> NamedScenario:
    try:
        recipe = _recipe(text, base, assign)
        scenario = recipe.scenario(overrides)
    except ScenarioError as error:
        return NamedScenario(name=name, scenario=None, error=str(error))
    return NamedScenario(
        name=name,
        scenario=scenario,
        sha256=identity(scenario.effective()),
        recipe=recipe,
        overrides=tuple(overrides),
    )


def _recipe(text: str, base: Place | None, assign: str | Path | None) -> Recipe:
    if not text:
        return Recipe(assign=assign)
    relative = base is not None and not text.startswith("/")
    place = Place.of(text)
    if relative and base and place.local is not None:
        place = replace(Place.of((base / text).text), secret=base.secret)
    if place.local is not None:
        path = text if base is None else place.local
        return Recipe(given=read_toml(path), assign=assign, source=str(path))
    try:
        mapping = tomllib.loads(place.read().decode())
    except OSError as error:
        reason = error.strerror or error
        raise ScenarioError(f"{place}: cannot be read: {reason}") from error
    except ValueError as error:
        raise ScenarioError(f"{place}: is no TOML: {error}") from error
    return Recipe(given=mapping, assign=assign, source=str(place))


def _rows(place: Place, shown: str) -> Iterator[tuple[str, str]]:
    """Read a list of pairs."""
    try:
        text = place.read().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise TraceError(f"{shown}: cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{shown}: byte {error.start}: is no text") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    try:
        for values in reader:
            row = [value.strip() for value in values]
            if not any(row):
                continue
            if header is None:
                header = row
                _check_header(header, shown)
                continue
            if len(row) != len(header):
                raise TraceError(
                    f"{shown}: line {reader.line_num}: {len(row)} fields under "
                    f"{len(header)} columns"
                )
            named = dict(zip(header, row, strict=True))
            if not named["trace"]:
                raise TraceError(f"{shown}: line {reader.line_num}: names no trace")
            yield named["trace"], named.get("scenario", "")
    except csv.Error as error:
        raise TraceError(f"{shown}: line {reader.line_num}: {error}") from None
    if header is None:
        raise TraceError(f"{shown}: is empty: its first line is 'trace,scenario'")


def _check_header(header: Sequence[str], shown: str) -> None:
    strange = [name for name in header if name not in _COLUMNS]
    if strange or "trace" not in header or len({*header}) != len(header):
        what = f"a column {strange[0]!r}" if strange else f"{','.join(header)!r}"
        raise TraceError(
            f"{shown}: line 1: {what}: the columns are 'trace' and, if there are "
            "several, 'scenario'"
        )
