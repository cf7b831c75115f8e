"""``replay record``."""

import os
import shlex
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from replay.capture.machine import KERNEL, RECORDERS, Machine
from replay.capture.record import record as record_devices
from replay.capture.recorders.stop import stop_on_signals
from replay.cli import options
from replay.cli.progress import message
from replay.common.errors import CaptureError, TraceError
from replay.common.plain import plain
from replay.common.text import count_text, size_text

#: A larger trace is not read at once; `replay info` does.
_MOST_READ: Final = 1 << 28
#: Where a context keeps the words behind ``--``.
_COMMAND: Final = f"{__name__}.command"


class _WithCommand(click.Command):
    """Takes what stands behind ``--`` as a command to run."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Set the command aside, and read the rest."""
        if "--" in args:
            where = args.index("--")
            context.meta[_COMMAND] = args[where + 1 :]
            args = args[:where]
        return super().parse_args(context, args)


@click.command(
    cls=_WithCommand,
    epilog=options.examples(
        "record loop0 --seconds 60 -o capture",
        "record loop0 sda -o capture",
        "record vda -o capture -- fio job.fio",
    ),
)
@click.argument("devices", nargs=-1, required=True, metavar="DEV... [-- COMMAND]")
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
    "--with",
    "how",
    type=click.Choice(RECORDERS),
    default=KERNEL,
    show_default=True,
    help="What records: the kernel by itself, or the installed blktrace or bpftrace.",
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
    how: str,
    buffer_kib: int,
    buffers: int,
    quiet: bool,
) -> None:
    """Record block devices with the cgroup of every request.

    DEV is a block device, such as loop0 or /dev/loop0. Ctrl-C ends the recording, or
    the end of COMMAND, whose exit code is then this one's; it is ended with the
    recording if it runs longer. Nothing needs to be installed. Beside the trace DIR
    gets the ids, limits and counters of all cgroups at begin and end, what the machine
    was, and a scenario of the cgroups.

    DIR is for 'replay convert', 'replay info' and 'replay run'.
    """
    machine = Machine()
    command = click.get_current_context().meta.get(_COMMAND, [])
    directory = output or Path(time.strftime("replay-%Y%m%d-%H%M%S"))

    def started() -> None:
        for line in machine.doubts(devices, directory, how):
            message(f"Note: {line}", quiet=quiet)
        until = f"{_what_stops()} stops" if seconds is None else f"for {seconds:g} s"
        if command:
            until = f"while {plain(shlex.join(command))} runs"
            until += "" if seconds is None else f", {seconds:g} s at most"
        message(
            f"Recording {', '.join(devices)} into {directory}: {until}", quiet=quiet
        )

    def left(name: str) -> None:
        message(
            f"Note: {name}: ended the trace that a killed recording had left on",
            quiet=quiet,
        )

    with stop_on_signals() as stop:
        try:
            found = record_devices(
                devices,
                directory,
                seconds=seconds,
                command=command,
                how=how,
                buffer_kib=buffer_kib,
                n_buffers=buffers,
                machine=machine,
                stop=stop,
                on_start=started,
                on_left=left,
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
    # all is kept: Ctrl-C ends this alone
    with suppress(KeyboardInterrupt):
        _tell_shares(directory, found.nbytes, quiet=quiet)
    name = shlex.quote(str(directory))
    message(f"Next: replay info {name}; replay run {name}", quiet=quiet)
    if found.command_ended:
        message("COMMAND still ran, and was ended with the recording", quiet=quiet)
    if found.command_code:
        message(f"COMMAND ended with exit code {found.command_code}", quiet=quiet)
        raise click.exceptions.Exit(found.command_code)


def _tell_shares(directory: Path, nbytes: int, *, quiet: bool) -> None:
    """Say what part of the kernel's own count of bytes the trace holds."""
    if quiet or nbytes > _MOST_READ:
        return
    # not before: what is to be recorded may not wait for libraries
    from replay.capture.gap import shares
    from replay.trace.convert import open_or_convert

    try:
        with open_or_convert(str(directory)) as rows:
            for share in shares(rows):
                message(str(share), quiet=quiet)
    except TraceError:
        # nothing was recorded; `replay info` says more
        return


def _what_stops() -> str:
    """Name what ends a recording: a shell's background jobs ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return f"kill {os.getpid()}"
    return "Ctrl-C"
