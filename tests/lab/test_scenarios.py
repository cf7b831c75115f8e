"""What the guest is given to run; the recording itself needs the machine."""

import subprocess
from pathlib import Path

import pytest

from lab.record_scenario import SCENARIOS, script

NAMES = sorted(path.stem for path in SCENARIOS.glob("*.sh") if path.stem != "lib")


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_is_valid_shell_with_its_settings_before_it(
    name: str, tmp_path: Path
) -> None:
    text = script(name, ["LIMIT=48M", "NOTE=it's here"])
    path = tmp_path / "script.sh"
    path.write_text(text)
    subprocess.run(["sh", "-n", path], check=True)
    assert text.index("LIMIT=48M") < text.index("trace_off", text.index("LIMIT=48M"))
    assert "NOTE='it'\"'\"'s here'" in text


def test_what_is_no_scenario_or_setting_is_refused() -> None:
    with pytest.raises(
        SystemExit, match="memory-lo: not a scenario: dirty-limit, io-bfq"
    ):
        script("memory-lo", [])
    with pytest.raises(SystemExit, match="48M: not NAME=VALUE"):
        script("memory-max", ["48M"])
