"""``replay calibrate`` as a user sees it."""

import json
import tomllib
from pathlib import Path

from click.testing import CliRunner

from replay.cli.main import cli

TRACE = str(Path(__file__).parents[2] / "traces" / "high-unlimited")


def test_output_is_a_scenario_that_run_takes(tmp_path: Path) -> None:
    # GIVEN what calibrate prints, kept in a file
    found = CliRunner().invoke(cli, ["calibrate", TRACE])
    assert found.exit_code == 0, found.output
    scenario = tmp_path / "service.toml"
    scenario.write_text(found.stdout)
    service = tomllib.loads(found.stdout)["service"]
    assert service["model"] == "linear"
    # WHEN the trace is replayed with it
    ran = CliRunner().invoke(cli, ["run", TRACE, "-s", str(scenario), "--json"])
    # THEN the scenario holds these numbers
    assert ran.exit_code == 0, ran.output
    effective = json.loads(ran.stdout)["run"]["scenario"]["service"]
    assert effective["write"]["base_ns"] == service["write"]["base_ns"]


def test_json_holds_fit_and_iocost() -> None:
    found = CliRunner().invoke(cli, ["calibrate", TRACE, "--json"])
    facts = json.loads(found.stdout)
    assert facts["device"] == "7:0"
    assert facts["fits"]["write"]["recorded"]["mean_ns"] > 0
    assert facts["iocost"].startswith("7:0 ctrl=user model=linear wbps=")
