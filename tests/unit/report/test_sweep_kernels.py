"""A sweep over kernels says which rules differ between neighbours."""

from pathlib import Path

import pytest

import replay
from replay.report.html.contents import content_of
from replay.report.many.kernels import kernel_steps
from replay.report.sweep import sweep_page
from replay.report.text import render_text
from replay.scenario.keys.kernel import parse_kernel
from replay.scenario.keys.kernel_rules import HIGH_IN_CHARGE, RULES

TRACES = Path(__file__).parents[3] / "traces"


@pytest.fixture(scope="module")
def found() -> replay.Sweep:
    name = TRACES / "high-unlimited"
    # GIVEN versions in no order
    vary = ["driver.kernel=6.12,5.15,6.1"]
    return replay.sweep(name, name.with_suffix(".toml"), vary=vary, jobs=1)


def test_neighbours_are_told_with_the_rules_between_them(found: replay.Sweep) -> None:
    first, second = kernel_steps(found)
    # THEN they stand in the order of their versions
    assert (first.before, first.after, second.after) == ("5.15", "6.1", "6.12")
    # AND what changes has the rules that differ and can act here, of the one table
    assert first.changed == ["p99 of /b 15.7 ms -> 7.68 s"]
    assert HIGH_IN_CHARGE in first.rules
    one, other = parse_kernel("5.15"), parse_kernel("6.1")
    differ = [rule for rule in RULES if rule.holds(one) != rule.holds(other)]
    acting = {"driver", "tmpfs", "memory"}
    assert sorted(rule.name for rule in first.rules) == sorted(
        rule.name for rule in differ if rule.area in acting
    )
    assert len(first.rules) < len(differ)
    assert second.changed == []


def test_summary_and_page_have_them(found: replay.Sweep) -> None:
    text = render_text(sweep_page(found), width=1000)
    assert "From kernel to kernel" in text
    said = f"5.18: before, {HIGH_IN_CHARGE.before}; then: {HIGH_IN_CHARGE.after}"
    assert said in text
    assert "6.1 to 6.12: the same" in text
    pytest.importorskip("vl_convert")
    content = content_of(found)
    assert any(said in told.words for told in content.told)
    (table,) = (one.table for one in content.tables if one.name == "rules")
    assert HIGH_IN_CHARGE.source in table.column("source").to_pylist()


def test_other_keys_have_none() -> None:
    name = TRACES / "workers-root"
    vary = ["driver.policy=root,naive"]
    assert not kernel_steps(replay.sweep(name, vary=vary, jobs=1))
