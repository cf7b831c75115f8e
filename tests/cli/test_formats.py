"""``replay formats``."""

from click.testing import CliRunner

from replay.cli.main import cli
from replay.trace.formats.registry import FORMATS


def test_every_format_is_listed() -> None:
    done = CliRunner().invoke(cli, ["formats"])
    assert done.exit_code == 0
    for one in FORMATS:
        assert one.name in done.stdout
