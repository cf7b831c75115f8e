"""``replay record``."""

import shlex
import time
from pathlib import Path

import click

from replay.capture.machine import Machine
from replay.capture.record import SCENARIO
from replay.capture.record import record as record_devices
from replay.capture.tracer import stop_on_signals
from replay.cli import options
from replay.cli.progress import message
from replay.common.errors import CaptureError
from replay.common.text import count_text, plain, size_text


@click.command(
    epilog=options.examples(
        "record loop0 --seconds 60 -o capture",
        "record loop0 sda -o capture",
    )
)
@click.argument("devices", nargs=-1, required=True, metavar="DEV...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory to make.  [default: replay-DATE-TIME]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Stop after that time.  [default: at Ctrl-C]",
)
@click.option(
    "--buffer-kib",
    type=click.IntRange(min=4, max=1 << 20),
    default=1024,
    show_default=True,
    help="Size of a buffer.",
)
@click.option(
    "--buffers",
    type=click.IntRange(min=2, max=1 << 10),
    default=8,
    show_default=True,
    help="Buffers for each CPU and device: more if events are dropped.",
)
@options.quiet
def record(
    devices: tuple[str, ...],
    output: Path | None,
    seconds: float | None,
    buffer_kib: int,
    buffers: int,
    quiet: bool,
) -> None:
    """Record block devices with the cgroup of every request.

    DEV is a block device, such as loop0 or /dev/loop0. Ctrl-C ends the recording. It is
    made by the installed blktrace; beside its files DIR gets the ids, limits and
    counters of all cgroups at begin and end, and a scenario of them.

    DIR is for 'replay convert', 'replay info' and 'replay run'.
    """
    machine = Machine()
    directory = output or Path(time.strftime("replay-%Y%m%d-%H%M%S"))

    def started() -> None:
        for line in machine.doubts(devices, directory):
            message(f"Note: {line}", quiet=quiet)
        until = "Ctrl-C stops" if seconds is None else f"for {seconds:g} s"
        message(
            f"Recording {', '.join(devices)} into {directory}: {until}", quiet=quiet
        )

    with stop_on_signals() as stop:
        try:
            found = record_devices(
                devices,
                directory,
                seconds=seconds,
                buffer_kib=buffer_kib,
                n_buffers=buffers,
                machine=machine,
                stop=stop,
                on_start=started,
            )
        except CaptureError as error:
            for line in error.lines[:-1]:
                click.echo(f"Error: {plain(line)}", err=True)
            raise click.ClickException(plain(error.lines[-1])) from error
        if found.dropped:
            message(
                f"Note: {count_text(found.dropped, 'event')} were dropped for want of "
                "buffers: give more by --buffers, or larger ones by --buffer-kib",
                quiet=quiet,
            )
        message(
            f"{directory}: {size_text(found.nbytes)} in "
            f"{count_text(found.n_files, 'trace file')}, "
            f"{count_text(found.n_cgroups, 'cgroup')}",
            quiet=quiet,
        )
        name = shlex.quote(str(directory))
        scenario = shlex.quote(str(directory / SCENARIO))
        message(
            f"Next: replay info {name}; replay run {name} -s {scenario}", quiet=quiet
        )
