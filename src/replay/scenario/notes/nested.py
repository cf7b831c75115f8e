"""Notes on ``backing.loop``."""

from collections.abc import Sequence

from replay.scenario.binding.nested import KEY
from replay.scenario.keys.load import Scenario
from replay.trace.file.metadata import Summary
from replay.trace.file.schema import device_text


def nested_notes(
    scenario: Scenario, summary: Summary, devices: Sequence[int]
) -> list[str]:
    """Note what is made of the rows of the device below.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    summary : Summary
    devices : sequence of int

    Returns
    -------
    list of str
    """
    below = scenario.backing.loop
    if below is None:
        return []
    name = device_text(below)
    above = ", ".join(device_text(device) for device in devices if device != below)
    notes = [
        f"{KEY} = {name}: what goes through both devices is counted on each, so sums "
        "over devices, as the summary's, hold it twice"
    ]
    if any(one.device == below for one in summary.devices):
        notes.append(
            f"{KEY} = {name}: what loop workers issued to it is taken for requests of "
            f"{above}, and made by the replay; what other processes issued is its own"
        )
    if len(devices) > 2:
        notes.append(
            f"{KEY} = {name}: where the files of {above} lie on it is not known; they "
            "are taken to share no page"
        )
    return notes
