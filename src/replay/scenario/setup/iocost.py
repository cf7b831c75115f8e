"""``io.cost.model``, ``io.cost.qos`` and ``io.weight`` as the engine's flat columns.

Source: block/blk-iocost.c, v6.1: ioc_cost_model_write(), ioc_qos_write(),
ioc_weight_write(), calc_lcoefs(), ioc_autop_idx().
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import numpy as np

from replay.scenario.binding.tree import Tree
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.paths import ROOT
from replay.scenario.keys.values import DeviceLines
from replay.scenario.setup.devices import place_of

#: The kernel's own models: what a device does a second, reads then writes, and the
#: latency that is aimed at, us.
PROFILES: Final = {
    "hdd": ((174019176, 41708, 370, 178075866, 42705, 378), 250_000),
    "ssd-qd1": ((245855193, 61575, 6946, 141365009, 33716, 26796), 25_000),
    "ssd": ((488636629, 8932, 8518, 427891549, 28755, 21940), 25_000),
    "ssd-fast": ((3102524156, 724816, 778122, 1742780862, 425702, 443193), 5_000),
}
#: Names in an ``io.cost.model`` line, in the order of a profile's numbers.
RATES: Final = ("rbps", "rseqiops", "rrandiops", "wbps", "wseqiops", "wrandiops")
#: Names in an ``io.cost.qos`` line.
QOS: Final = ("rpct", "rlat", "wpct", "wlat", "min", "max")
#: Least and most vrate, ppm.
VRATE_PPM: Final = (10_000, 100_000_000)
SECOND: Final = 1 << 37
PAGE: Final = 4096


def flat_iocost(
    scenario: Scenario, tree: Tree, devices: Sequence[int]
) -> dict[str, Any]:
    """Lay out the cost models that are on, and every cgroup's weight there.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    tree : Tree
    devices : sequence of int
        Those that are replayed, ``major << 20 | minor``.

    Returns
    -------
    dict of str to ndarray
        The ``iocost_*`` arrays of `replay.engine.setup.Setup`.
    """
    places = {
        device: place
        for device in enabled_devices(scenario)
        if (place := place_of(scenario, devices, device)) is not None
    }
    models = dict(root_lines(scenario, "io_cost_model"))
    lines = dict(root_lines(scenario, "io_cost_qos"))
    rates, latency_us = PROFILES[scenario.backing.cost_profile]
    coefficients, qos = [], []
    for device in places:
        found = _settings(models.get(device, ()), dict(zip(RATES, rates, strict=True)))
        six = [int(found[name]) for name in RATES]
        coefficients.append([*coefficients_of(*six[:3]), *coefficients_of(*six[3:])])
        qos.append(_qos(lines[device], latency_us))
    weight = np.full((len(places), len(tree.names)), 100, np.uint32)
    for cgroup in scenario.cgroups:
        given = dict(cgroup.io_weight)
        for row, device in enumerate(places):
            weight[row, tree.index[cgroup.path]] = given.get(device, given[None])
    shape = (len(places), 6)
    return {
        "iocost_device": np.array(list(places.values()), np.int32),
        "iocost_coefficients": np.array(coefficients, np.int64).reshape(shape),
        "iocost_qos": np.array(qos, np.int64).reshape(shape),
        "iocost_weight": weight,
    }


def coefficients_of(bps: int, seqiops: int, randiops: int) -> tuple[int, int, int]:
    """Turn what a device does a second into what a page and an I/O cost.

    Parameters
    ----------
    bps, seqiops, randiops : int
        Bytes, and I/Os of a page, a second; 0 costs nothing.

    Returns
    -------
    tuple of int
        A page, a sequential I/O and a random one, 2**37 a second of the device.
    """
    page = -(-SECOND // -(-bps // PAGE)) if bps else 0
    near, far = (
        max(-(-SECOND // iops) - page, 0) if iops else 0 for iops in (seqiops, randiops)
    )
    return page, near, far


def enabled_devices(scenario: Scenario) -> list[int]:
    """Return the devices whose ``io.cost.qos`` is enabled, in order."""
    return [
        device
        for device, pairs in root_lines(scenario, "io_cost_qos")
        if dict(pairs).get("enable") == "1"
    ]


def root_lines(scenario: Scenario, field: str) -> DeviceLines:
    """Return the lines of a field of the root cgroup."""
    for cgroup in scenario.cgroups:
        if cgroup.path == ROOT:
            lines: DeviceLines = getattr(cgroup, field)
            return lines
    return ()


def _settings(
    pairs: Sequence[tuple[str, str]], built_in: dict[str, Any]
) -> dict[str, Any]:
    """Read a line as the kernel does: values make it the user's, ``auto`` does not."""
    found, user = dict(built_in), False
    for name, text in pairs:
        if name == "ctrl":
            user = text == "user"
        elif name in built_in:
            found[name], user = text, True
    return found if user else built_in


def _qos(pairs: Sequence[tuple[str, str]], latency_us: int) -> list[int]:
    """Return a line's six numbers, in ppm and us."""
    least, most = (ppm / 10_000 for ppm in VRATE_PPM)
    built_in = dict(zip(QOS, (0, latency_us, 0, latency_us, least, most), strict=True))
    found = _settings(pairs, built_in)
    bounds = VRATE_PPM
    return [
        *(_ppm(found["rpct"]), int(found["rlat"])),
        *(_ppm(found["wpct"]), int(found["wlat"])),
        *(max(bounds[0], min(_ppm(found[name]), bounds[1])) for name in ("min", "max")),
    ]


def _ppm(percent: object) -> int:
    """Turn percent into ppm, of two decimals as the kernel has them."""
    hundredths = Decimal(str(percent)) * 100
    return int(hundredths.to_integral_value(ROUND_HALF_UP)) * 100
