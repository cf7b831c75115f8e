"""Man pages and completions, made of the commands: ``make man``.

They are kept in ``docs/man`` and ``docs/completions`` and go into the wheel, so that
who installs it needs nothing to make them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click_man.core import generate_man_page

from replay.cli.main import COMMANDS, cli
from replay.common.version import VERSION

TOP = Path(__file__).parents[2]
MANUALS = TOP / "docs" / "man"
COMPLETIONS = TOP / "docs" / "completions"
#: File of each shell, by the name under which it looks for it.
SHELLS = {"bash": "replay", "zsh": "_replay", "fish": "replay.fish"}
#: Of the pages; a day that says nothing would change them daily.
DATE = f"replay {VERSION}"


def manuals() -> Iterator[tuple[str, str]]:
    """Yield file name and text of each man page: of `replay` and of each command."""
    top = click.Context(cli, info_name="replay", max_content_width=80)
    listed = []
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        # the library would cut it out of the long text
        command.short_help = COMMANDS[name][1]
        yield f"replay-{name}.1", page(click.Context(command, top, info_name=name))
        # the library lists commands of groups alone that hold them all
        listed += [".TP", rf"\fBreplay\-{name}(1)\fP", command.short_help]
    yield "replay.1", page(top) + "\n".join([".SH COMMANDS", *listed, ""])


def page(context: click.Context) -> str:
    """Return the man page of a command, without white space at the ends of lines."""
    text = str(generate_man_page(context, VERSION, DATE))
    # the library knows of no examples
    lines = (context.command.epilog or "").splitlines()[2:]
    if lines:
        text += "\n".join(["", ".SH EXAMPLES", ".nf", *lines, ".fi"])
    # troff takes a line that begins with a quote for a command
    safe = (rf"\&{line}" if line[:1] == "'" else line for line in text.splitlines())
    return "\n".join(line.rstrip() for line in safe) + "\n"


def completions() -> Iterator[tuple[str, str]]:
    """Yield file name and text of each shell's completions."""
    code = "from replay.cli.main import cli; cli(prog_name='replay')"
    for shell, name in SHELLS.items():
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "_REPLAY_COMPLETE": f"{shell}_source"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        yield name, done.stdout.rstrip() + "\n"


def main() -> None:
    """Write all of them."""
    for folder, files in ((MANUALS, manuals()), (COMPLETIONS, completions())):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files:
            (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
