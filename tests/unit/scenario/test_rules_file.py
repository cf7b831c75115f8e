"""Rules of [[assign]] in a file of their own."""

from pathlib import Path

import pytest

from replay.common.errors import ScenarioError
from replay.scenario.keys.load import Scenario

RULES = """\
[[assign]]
comm = "java*"
cgroup = "/first"

[[assign]]
pid = 7
device = "8:16"
volume = "v*"
cgroup = "/second"
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def test_rules_of_a_file_stand_before_the_scenarios_own(rules: Path) -> None:
    own = {"assign": [{"cgroup": "/own"}]}
    scenario = Scenario.from_dict(own, assign=rules)
    found = [rule.cgroup for rule in scenario.assign]
    assert found == ["/first", "/second", "/own"]
    assert Scenario.from_dict(scenario.effective()) == scenario


def test_rules_of_a_file_stand_before_those_of_set(rules: Path) -> None:
    overrides = ['assign=[{ cgroup = "/set" }]']
    own = {"assign": [{"cgroup": "/own"}]}
    scenario = Scenario.from_dict(own, overrides=overrides, assign=rules)
    assert [rule.cgroup for rule in scenario.assign] == ["/first", "/second", "/set"]


def test_rules_of_a_file_need_no_scenario(rules: Path) -> None:
    (first, second) = Scenario.load(assign=rules).assign
    assert (first.comm, first.pid, first.volume) == ("java*", None, None)
    assert (second.pid, second.device, second.volume) == (7, 8 << 20 | 16, "v*")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "rules.toml: no rule, which begins by [[assign]]"),
        (
            '[driver]\npolicy = "root"',
            "rules.toml: driver: does not belong in a file of rules: only [[assign]]",
        ),
        (
            '[[assign]]\ncommand = "dd"\ncgroup = "/a"',
            "rules.toml: assign[0].command: unknown key; did you mean assign[0].comm?",
        ),
        ("[[assign]]\npid = 7", 'rules.toml: assign[0]: no cgroup, such as cgroup = "'),
        ('assign = "dd"', 'rules.toml: assign: "dd" stands where a list of tables'),
        ("[[assign]", "rules.toml: line 1"),
    ],
)
def test_file_of_rules_that_is_wrong_is_refused_by_its_name(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict({"assign": [{"cgroup": "/own"}]}, assign=path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_of_rules_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"rules\.toml: no such file"):
        Scenario.load(assign=tmp_path / "rules.toml")
