"""A scenario file beside a recording that nobody asked for: what it says otherwise."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from replay.common.errors import ScenarioError
from replay.dataset.places import Place
from replay.scenario.keys.given import read_toml
from replay.scenario.keys.load import Scenario

#: Sections that say how a trace was taken, not what is asked of it.
_FACTS = ("trace", "backing")
_SUFFIX = ".toml"


class Beside(NamedTuple):
    """A scenario file that has a recording's name and lies beside it.

    Attributes
    ----------
    path : str
    told : mapping
        What it says.
    """

    path: str
    told: Mapping[str, Any]


def scenario_beside(name: str, place: Place) -> Beside | None:
    """Find a recording's scenario file.

    Parameters
    ----------
    name : str
        What the recording is called.
    place : Place
        Of its directory or file.

    Returns
    -------
    Beside or None
        None where there is none on this machine, or none that can be read.
    """
    if place.local is None:
        return None
    path = Path(f"{str(place.local).removesuffix('/')}{_SUFFIX}")
    if not path.is_file():
        return None
    try:
        return Beside(f"{name}{_SUFFIX}", read_toml(path))
    except ScenarioError:
        return None


def beside_notes(beside: Beside, taken: Mapping[str, Any]) -> list[str]:
    """Note what a file says of how a trace was taken that is not so in a run.

    Parameters
    ----------
    beside : Beside
    taken : mapping
        The run's scenario, every key with its value.

    Returns
    -------
    list of str
        At most one.
    """
    differ = list(_differences(beside.told, taken))
    if not differ:
        return []
    return [
        f"{beside.path} lies beside the recording and was not asked for; it says "
        f"{', '.join(differ)}: where that is right, what is told here of this trace is "
        "not; --pairs takes a list of traces with their scenarios"
    ]


def _differences(told: Mapping[str, Any], taken: Mapping[str, Any]) -> Iterator[str]:
    for section in _FACTS:
        given = told.get(section)
        if not isinstance(given, Mapping):
            continue
        try:
            # written as the run's are: 64M and 67108864 are one
            effective: Any = Scenario.from_dict({section: given}).effective()
        except ScenarioError:
            continue
        said, here = effective[section], taken[section]
        for key in given:
            if key in said and said[key] != here.get(key):
                yield (
                    f"{section}.{key} = {_shown(said[key])} (taken here: "
                    f"{_shown(here.get(key))})"
                )
    rules = told.get("assign")
    if isinstance(rules, list) and rules and not taken["assign"]:
        many = f"{len(rules)} rule{'s' * (len(rules) > 1)}"
        yield f"{many} of [[assign]] (here none: cgroups are not told apart by them)"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
