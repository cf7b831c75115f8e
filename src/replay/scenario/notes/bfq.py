"""Notes on ``io.bfq.weight``."""

from replay.common.text import capped
from replay.scenario.keys.load import Scenario
from replay.scenario.setup.bfq import DEFAULT


def bfq_notes(scenario: Scenario) -> list[str]:
    """Note what has no effect in this replay.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.

    Returns
    -------
    list of str
    """
    backing = scenario.backing
    if scenario.disk.scheduler == "bfq" and scenario.service.model != "recorded":
        return []  # the plain disk's own
    if backing.scheduler == "bfq":
        if backing.filesystem == "tmpfs":
            why = "a tmpfs has no disk below"
        elif scenario.service.model == "recorded":
            why = (
                "nobody waits for a place on the disk with the recorded times; take "
                "service.model = linear"
            )
        else:
            return []
        return [f"backing.scheduler = bfq has no effect: {why}"]
    idle = [
        f"{cgroup.path}: io.bfq.weight has no effect: backing.scheduler is not bfq"
        for cgroup in scenario.cgroups
        if cgroup.io_bfq_weight != DEFAULT
    ]
    return capped(idle, "more cgroups have an io.bfq.weight of no effect")
