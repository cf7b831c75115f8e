from typing import Any

import numpy as np

from replay.engine.setup import BACKING_DEVICE
from replay.scenario.binding.tree import build_tree
from replay.scenario.keys.load import Scenario
from replay.scenario.setup.iocost import PROFILES, coefficients_of, flat_iocost

DISK, LOOP = 254 << 20 | 32, 7 << 20


def flat(root: dict[str, str], **cgroups: Any) -> dict[str, Any]:
    """Lay out a scenario's cost models over /, /a and /b."""
    scenario = Scenario.from_dict(
        {
            "backing": {"device": "254:32", "cost_profile": "hdd"},
            "cgroups": {
                "/": root,
                **{f"/{name}": {"io.weight": text} for name, text in cgroups.items()},
            },
        }
    )
    return flat_iocost(scenario, build_tree(["/a", "/b"]), [LOOP])


def test_only_devices_that_are_enabled_and_take_part_have_a_model() -> None:
    lines = "254:32 enable=1\n7:0 enable=0\n8:0 enable=1"
    assert flat({"io.cost.qos": lines})["iocost_device"].tolist() == [BACKING_DEVICE]
    assert flat({})["iocost_weight"].shape == (0, 3)


def test_what_is_not_given_is_the_profiles() -> None:
    # GIVEN a line that only turns it on, THEN everything is as the kernel has it
    found = flat({"io.cost.qos": "254:32 enable=1"})
    assert found["iocost_qos"].tolist() == [[0, 250_000, 0, 250_000, 10_000, 10**8]]
    rates = PROFILES["hdd"][0]
    model = [*coefficients_of(*rates[:3]), *coefficients_of(*rates[3:])]
    assert found["iocost_coefficients"].tolist() == [model]
    # AND ctrl=auto takes back what stands before it
    auto = flat(
        {
            "io.cost.qos": "254:32 enable=1 rlat=7 ctrl=auto",
            "io.cost.model": "254:32 rbps=4096 ctrl=auto",
        }
    )
    assert all(np.array_equal(auto[name], found[name]) for name in found)


def test_numbers_of_the_kernels_lines() -> None:
    found = flat(
        {
            "io.cost.qos": "254:32 enable=1 ctrl=user rpct=95.00 rlat=5000 wpct=90.125 "
            "wlat=0 min=0.5 max=150.00",
            "io.cost.model": "254:32 ctrl=user model=linear rbps=4096 rseqiops=1 "
            "rrandiops=0 wbps=0 wseqiops=0 wrandiops=2",
        }
    )
    # ppm, two decimals; vrate is at least 1 %
    qos = [950_000, 5000, 901_300, 0, 10_000, 1_500_000]
    assert found["iocost_qos"].tolist() == [qos]
    second = 1 << 37
    assert found["iocost_coefficients"].tolist() == [[second, 0, 0, 0, 0, second // 2]]


def test_a_devices_own_weight_goes_before_the_default() -> None:
    found = flat({"io.cost.qos": "254:32 enable=1"}, a=300, b="default 50\n254:32 7")
    assert found["iocost_weight"].tolist() == [[100, 300, 7]]
