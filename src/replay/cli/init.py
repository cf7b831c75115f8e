"""``replay init``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.progress import message, progress_bar

if TYPE_CHECKING:
    from replay.trace.formats.options import FormatOptions


@click.command(
    epilog=options.examples(
        "init capture -o scenario.toml",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="TRACE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="SCENARIO.toml",
    help="The file to make.  [default: standard output]",
)
@options.overwrite
@options.input_format
@options.cgroups
@options.quiet
def init(
    inputs: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    format: "FormatOptions",
    cgroups: Path | None,
    quiet: bool,
) -> None:
    """Write a scenario of a trace, to be edited.

    TRACE is a trace file or anything that 'replay convert' reads. The scenario holds
    the trace's cgroups with their processes, what 'replay record' saved beside it, and
    every key with the value that holds without it. It is for 'replay run TRACE -s'.
    """
    from replay.capture.recorded import recorded_scenario
    from replay.common.output import check_target, place_of, replacing
    from replay.scenario.keys.load import Scenario
    from replay.scenario.writing.outline import outline
    from replay.trace.convert import open_or_convert
    from replay.trace.formats.options import format_words

    if output is not None:
        check_target(place_of(output), output, overwrite=overwrite)
    base = recorded_scenario(Path(inputs[0])) if len(inputs) == 1 else None
    words = ["replay", "run", *inputs, *format_words(format)]
    if cgroups is not None:
        words += ["--cgroups", str(cgroups)]
    command = shlex.join([*words, "-s", str(output or "SCENARIO.toml")])
    with (
        progress_bar("Reading", quiet=quiet) as progress,
        open_or_convert(
            inputs, cgroups=cgroups, progress=progress, format=format
        ) as trace,
    ):
        name = " ".join(inputs)
        text = outline(trace, name, base or Scenario.load(), command=command)
    if output is None:
        click.echo(text, nl=False)
        return
    with replacing(output, overwrite=overwrite) as temporary:
        temporary.write_text(text, "utf-8")
    message(f"{output}: edit it, then: {command}", quiet=quiet)
