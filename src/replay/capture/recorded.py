"""The machine by a recording's directory, as a scenario."""

import tomllib
from pathlib import Path

from replay.capture.saved import BEGIN, END, SCENARIO, read_tree, recording_of
from replay.common.bounded import SMALL_BYTES, check_within, read_bounded
from replay.scenario.keys.load import Scenario
from replay.scenario.writing.cgroups import machine_toml, scenario_toml

KERNEL = "kernel"


def recorded_scenario(place: Path) -> Scenario | None:
    """Find what ``replay record`` saved beside a trace.

    Parameters
    ----------
    place : Path
        What the user names as a trace: the directory, a file in it, or a base name.

    Returns
    -------
    Scenario or None
        Of ``scenario.toml``, else of the saved tree and kernel; None if there is
        neither.

    Raises
    ------
    ScenarioError
        ``scenario.toml`` is not valid any more.
    """
    directory = recording_of(place)
    saved = any((directory / part).is_dir() for part in (BEGIN, END))
    if saved and (directory / SCENARIO).is_file():
        check_within(directory / SCENARIO, directory)
        return Scenario.load(directory / SCENARIO)
    release = ""
    if (directory / KERNEL).is_file():
        data = read_bounded(directory / KERNEL, SMALL_BYTES, within=directory)
        release = data.decode("utf-8", "replace").strip()
    if not saved and not release:
        return None
    tree = read_tree(directory) if saved else {}
    text = scenario_toml(tree, "", machine_toml((), release))
    return Scenario.from_dict(tomllib.loads(text), source=str(directory))
