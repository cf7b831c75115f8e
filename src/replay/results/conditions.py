"""Conditions in words: what a run must keep, what a change must not do.

of one run:                    p99<10ms   kills=0   peak@/a<=64M
of a change, base to other:    p99>10%    charged_bytes>0   kills>0
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from replay.common.errors import ReplayError
from replay.results.measures import BYTES, MEASURES, NS, TIMES, Measure
from replay.scenario.keys.sizes import parse_size

_CONDITION: Final = re.compile(
    r"\s*(?P<name>\w+)\s*(?:@(?P<cgroup>[^<>=]+?))?\s*(?P<how><=|>=|<|>|=)\s*"
    r"(?P<value>\S.*?)\s*"
)
_NUMBER: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*([a-zA-Z]*)")
_NS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_BY_NAME: Final = {
    name: one for one in MEASURES.values() for name in (one.name, one.column)
}
_TIMES: Final = frozenset(one.column for one in TIMES)


class ConditionError(ReplayError):
    """A condition cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition.

    Attributes
    ----------
    text : str
        As it was given.
    measure : Measure
    cgroup : str or None
        Whose; None for each of them.
    how : str
        ``<  <=  >  >=  =``.
    value : Fraction
        In the measure's unit, or of the base if relative.
    relative : bool
        A change in parts of the base's value.
    """

    text: str
    measure: Measure
    cgroup: str | None
    how: str
    value: Fraction
    relative: bool = False

    def concerns(self, cgroup: str) -> bool:
        """Return True if it is about a cgroup."""
        return self.cgroup is None or self.cgroup == cgroup

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Return True if a row of measures meets it.

        A time of a cgroup without requests meets every condition.
        """
        value = row[self.measure.column]
        return value is None or _compared(Fraction(value), self.how, self.value)

    def looks_at(self, row: Mapping[str, Any]) -> bool:
        """Return True if a row of differences has what is to be compared.

        Parameters
        ----------
        row : mapping
            As of `changed`.
        """
        if not self.concerns(row["cgroup"]):
            return False
        times = self.measure.column in _TIMES
        return not times or bool(row["requests_base"] and row["requests_other"])

    def changed(self, row: Mapping[str, Any]) -> bool:
        """Return True if a row of differences has the change.

        Parameters
        ----------
        row : mapping
            ``cgroup``, and ``COLUMN_base`` and ``COLUMN_other`` of each measure. Times
            are compared where there were requests in both.
        """
        column = self.measure.column
        if not self.looks_at(row):
            return False
        base, other = row[f"{column}_base"], row[f"{column}_other"]
        bound = self.value * base if self.relative else self.value
        return _compared(Fraction(other - base), self.how, bound)


def parse_condition(text: str) -> Condition:
    """Understand a condition on the measures of one run.

    Parameters
    ----------
    text : str
        ``MEASURE[@CGROUP]``, one of ``< <= > >= =``, and a value: times with a unit
        (ns us ms s), sizes as the kernel reads them (64M), counts as they are.

    Returns
    -------
    Condition

    Raises
    ------
    ConditionError
        With what is wrong and what there is.
    """
    measure, cgroup, how, value = _parts(text)
    return Condition(
        text=text.strip(),
        measure=measure,
        cgroup=cgroup,
        how=how,
        value=_value(text, measure, value),
    )


def parse_change(text: str) -> Condition:
    """Understand a condition on a change from a base to another result.

    Parameters
    ----------
    text : str
        ``MEASURE[@CGROUP]``, ``>`` (grew by more than) or ``<`` (fell by more than, the
        value negative or 0), and a value or a share of the base in per cent.

    Returns
    -------
    Condition

    Raises
    ------
    ConditionError
        With what is wrong and what there is.
    """
    measure, cgroup, how, value = _parts(text)
    if how not in ("<", ">"):
        raise ConditionError(
            f"{text!r}: a change is more than (>) or less than (<) a value, not {how!r}"
        )
    relative = value.endswith("%")
    if relative:
        amount = _number(text, value.removesuffix("%").strip(), {"": 1}) / 100
    else:
        amount = _value(text, measure, value)
    if amount < 0 if how == ">" else amount > 0:
        raise ConditionError(
            f"{text!r}: no change meets it too: > takes 0 or more, < takes 0 or less"
        )
    return Condition(
        text=text.strip(),
        measure=measure,
        cgroup=cgroup,
        how=how,
        value=amount,
        relative=relative,
    )


def _parts(text: str) -> tuple[Measure, str | None, str, str]:
    """Return the measure, whose, how it is compared, and the value as it stands."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConditionError(
            f"{text!r}: is not a condition such as p99<10ms, kills=0, peak@/a<=64M"
        )
    cgroup = found["cgroup"]
    if cgroup is not None and not cgroup.startswith(("/", "id:")):
        raise ConditionError(
            f"{text!r}: {cgroup!r} is not a cgroup's path: it begins /"
        )
    return _measure(text, found["name"]), cgroup, found["how"], found["value"]


def _measure(text: str, name: str) -> Measure:
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name, _BY_NAME, n=1)
    names = ", ".join(one.name for one in MEASURES.values())
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConditionError(f"{text!r}: no measure {name!r}: {hint}there are {names}")


def _value(text: str, measure: Measure, value: str) -> Fraction:
    if measure.unit == NS:
        return _number(text, value, _NS)
    if measure.unit == BYTES:
        sign = -1 if value.startswith("-") else 1
        try:
            return Fraction(sign * parse_size(value.removeprefix("-")))
        except ValueError as error:
            raise ConditionError(f"{text!r}: {value!r} {error}") from None
    return _number(text, value, {"": 1})


def _number(text: str, value: str, units: Mapping[str, int]) -> Fraction:
    found = _NUMBER.fullmatch(value)
    if found is None or (found[2] not in units and Fraction(found[1]) != 0):
        some = ", ".join(f"1{unit}" for unit in units)
        raise ConditionError(f"{text!r}: {value!r} is not a value such as {some}")
    return Fraction(found[1]) * units.get(found[2], 1)


def _compared(value: Fraction, how: str, bound: Fraction) -> bool:
    if how == "<":
        return value < bound
    if how == "<=":
        return value <= bound
    if how == ">":
        return value > bound
    if how == ">=":
        return value >= bound
    return value == bound
