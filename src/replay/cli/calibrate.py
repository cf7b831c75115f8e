"""``replay calibrate``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.progress import message, progress_bar

if TYPE_CHECKING:
    from replay.trace.formats.options import FormatOptions


@click.command(
    epilog=options.examples(
        "calibrate capture > service.toml",
        "calibrate disk --alone disk-alone > disk.toml",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="TRACE...")
@options.scenario
@options.set_key
@options.input_format
@click.option(
    "--device",
    metavar="MAJ:MIN",
    help="The device to fit. [default: the trace's, if it has but one]",
)
@options.alone
@options.report
@options.overwrite
@options.json
@options.quiet
def calibrate(
    inputs: tuple[str, ...],
    scenario: Path | None,
    overrides: tuple[str, ...],
    format: "FormatOptions",
    device: str | None,
    alone: Path | None,
    report: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit a model of a device's service times to a trace of it.

    TRACE is of the disk itself, or of a loop device on tmpfs. What comes out on
    standard output is [service] of a scenario, for 'replay run -s', with how well it
    fits, and the same as the kernel's io.cost.model. With it the trace's own device
    queues are replayed too, where recorded times would keep the waits in them.
    """
    if overwrite and report is None:
        raise click.UsageError("--overwrite needs a file: give --report FILE.html.")
    import msgspec

    import replay
    from replay.calibration.toml import calibration_toml
    from replay.report.html.page import check_report

    if report is not None:
        check_report(report, overwrite=overwrite)
    with progress_bar("Reading", quiet=quiet) as progress:
        found = replay.calibrate(
            inputs[0] if len(inputs) == 1 else list(inputs),
            scenario,
            overrides=overrides,
            device=device,
            alone=alone,
            progress=progress,
            format=format,
        )
    if report is not None:
        replay.write_report(found, report, overwrite=overwrite)
        message(f"wrote {report}", quiet=quiet)
    if as_json:
        facts = msgspec.to_builtins(found) | {"iocost": found.iocost}
        click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())
    else:
        click.echo(calibration_toml(found), nl=False)
