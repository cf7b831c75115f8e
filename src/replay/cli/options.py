"""Options that commands share: the same letter means the same everywhere."""

from pathlib import Path
from typing import Final

import click

_FILE: Final = click.Path(path_type=Path)

cgroups = click.option(
    "--cgroups",
    type=_FILE,
    metavar="IDS",
    help="File of lines 'ID /PATH' that name the cgroups. "
    "[default: the file 'ids' of an input directory]",
)
overwrite = click.option(
    "--overwrite", is_flag=True, help="Replace the output if it exists."
)
json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet = click.option(
    "-q", "--quiet", is_flag=True, help="No progress and no messages, only errors."
)
threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads; the result is the same.",
)
batch_rows = click.option(
    "--batch-rows",
    type=click.IntRange(min=1, max=1 << 24),
    default=1 << 16,
    show_default=True,
    help="Rows of a batch; the rows are the same.",
)
set_key = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a scenario's key: driver.policy=root, /test.slice/memory.max=64M.",
)
assign = click.option(
    "--assign",
    type=_FILE,
    metavar="RULES.toml",
    help="Rules [[assign]] that say whose request it is, before the scenario's.",
)
scenario = click.option(
    "-s", "--scenario", type=_FILE, metavar="SCENARIO.toml", help="Scenario."
)
