"""``replay policies`` and ``replay formats``: lists."""

import json

import pytest
from click.testing import CliRunner

from replay.cli.main import cli
from replay.scenario.keys.policies import POLICIES, VARIANTS
from replay.trace.formats.registry import FORMATS


def test_every_policy_is_listed_with_what_it_changes() -> None:
    done = CliRunner().invoke(cli, ["policies"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(done.stdout.split())
    for row in POLICIES:
        assert any(line.startswith(f"{row.name}: ") for line in lines)
        for part in (row.server, row.memory, row.io, row.blocked, row.text):
            assert part.replace("`", "") in text
    assert [line.split()[0] for line in lines if line.startswith("  v")] == [
        row.name for row in VARIANTS
    ]


@pytest.mark.parametrize("what", ["policies", "variants"])
def test_json_holds_the_same(what: str) -> None:
    done = CliRunner().invoke(cli, ["policies", "--json"])
    found = json.loads(done.stdout)[what]
    rows = POLICIES if what == "policies" else VARIANTS
    assert [one["name"] for one in found] == [row.name for row in rows]
    if what == "policies":
        assert found[0]["server"] == POLICIES[0].server
    else:
        assert found[-1]["changes"] == []
        assert len(found[4]["changes"]) == 3


def test_every_format_is_listed() -> None:
    done = CliRunner().invoke(cli, ["formats"])
    assert done.exit_code == 0
    for one in FORMATS:
        assert one.name in done.stdout
