"""The ``replay`` command: a group whose commands are imported when they are called.

``replay --help`` imports click and nothing else of weight.
"""

import atexit
import errno
import gc
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TextIO

import click

from replay.common.addresses import without_secrets
from replay.common.errors import ReplayError
from replay.common.interrupts import end_on_signals, exit_code, ignore_signals
from replay.common.leftovers import sweep
from replay.common.plain import plain
from replay.common.version import VERSION

#: Command name: module, and what it does. The module holds a command of that name.
COMMANDS: Final = {
    "convert": (
        "replay.cli.convert",
        "Make a trace file of a recording, for repeated use.",
    ),
    "formats": ("replay.cli.formats", "List the formats that are read."),
    "info": ("replay.cli.info", "Show what is in a trace, and what was lost."),
    "init": ("replay.cli.init", "Write a scenario of a trace, to be edited."),
    "keys": ("replay.cli.keys", "List the keys of a scenario."),
    "policies": (
        "replay.cli.policies",
        "List the driver's policies and what each changes.",
    ),
    "run": ("replay.cli.run", "Replay a trace: who pays, who waits, who is killed."),
    "batch": (
        "replay.cli.batch",
        "Replay many traces under many scenarios, into one dataset.",
    ),
    "sweep": (
        "replay.cli.sweep",
        "Replay under many limits: find the one that will do.",
    ),
    "curve": (
        "replay.cli.curve",
        "Show what every memory.max would cost, in one pass.",
    ),
    "compare": ("replay.cli.compare", "Compare the results of two runs or more."),
    "why": (
        "replay.cli.why",
        "Say why requests were slow and tasks were killed.",
    ),
    "report": ("replay.cli.report", "Make a page of results, to look at and hand on."),
    "export": (
        "replay.cli.export",
        "Write a result for another program to look at: Perfetto.",
    ),
    "verify": (
        "replay.cli.verify",
        "Hold a replay against what the kernel counted meanwhile.",
    ),
    "calibrate": (
        "replay.cli.calibrate",
        "Fit a device's service times to a trace of it.",
    ),
    "record": (
        "replay.cli.record",
        "Record block devices with the cgroup of each request.",
    ),
    "doctor": (
        "replay.cli.doctor",
        "Say what this machine can record, and what it lacks for it.",
    ),
    "cgroups": ("replay.cli.cgroups", "Write a cgroup tree as a scenario."),
}
INTERRUPTED: Final = 128 + signal.SIGINT
#: Objects made between two searches for cycles; Python: 700. More than a start makes:
#: the first search went through all that was imported, for 10 ms.
_OBJECTS: Final = 200_000
#: A thread that wants the interpreter's lock waits so long for it, s; Python: 5 ms. A
#: decoder wants it for an instant after each batch of 10 ms, see
#: `replay.runner.decode_ahead`. The whole process has one, so it is for the command to
#: set, not for the library.
_SWITCH_S: Final = 0.0005


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; name the one that may be meant by what is none."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Call a command; what it refuses is one line and exit code 1."""
        try:
            return super().invoke(ctx)
        except ReplayError as error:
            # a file's name may hold anything; the message is one line
            raise click.ClickException(_one_line(str(error))) from error
        except OSError as error:
            # whoever reads the output may have gone: click ends quietly then
            if error.errno == errno.EPIPE:
                raise
            raise click.ClickException(_one_line(_told(error))) from error
        except UnicodeEncodeError as error:
            part = error.object[max(error.start - 20, 0) : error.end + 20]
            raise click.ClickException(
                f"{part!r}: this name is not in the locale's encoding or not UTF-8: "
                "rename it, or set LC_ALL=C.UTF-8"
            ) from error
        except MemoryError as error:
            raise click.ClickException("not enough memory") from error
        except KeyboardInterrupt:
            click.echo("Interrupted: nothing was written.", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="replay")
def cli() -> None:
    """Replay Linux block traces through a model of the loop driver.

    Who was charged, who waited and behind whom, who would have been killed: under the
    driver's policy and the cgroup limits of a scenario.

    Begin with 'replay info TRACE', then 'replay run TRACE'. 'replay COMMAND --help'
    tells more.

    Exit codes: 0 done; 1 refused or failed, one line says why; 2 wrong usage;
    3 'compare --fail-if' found a change, or 'verify' a number that is off;
    130 interrupted; 143 terminated; 129 hung up.
    """


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say what a warning says, without the place in the source."""
    with suppress(OSError):
        click.echo(f"Note: {_one_line(str(message))}", err=True)


def _one_line(text: str) -> str:
    """Make a message safe to show: no line breaks, no control, no password."""
    return plain(without_secrets(text))


def _told(error: OSError) -> str:
    """Say what the system refused; of standard output it gives no name."""
    reason = error.strerror or str(error)
    if error.filename is None and error.errno == errno.ENOSPC:
        return f"cannot write the output: {reason}"
    return f"{error.filename}: {reason}" if error.filename else reason


def main() -> None:
    """Run the command line."""
    # a command makes few cycles, its imports many objects: fewer searches for cycles
    gc.set_threshold(_OBJECTS)
    sys.setswitchinterval(_SWITCH_S)
    # numpy's threads of linear algebra, which nothing here needs, take long to start
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _open_streams()
    end_on_signals()
    warnings.showwarning = _show_warning
    sys.meta_path.insert(0, _NoPandas())
    try:
        # what a run has left that was killed
        sweep(Path(os.environ.get("TMPDIR") or "/tmp"))
        cli(prog_name="replay")
    except KeyboardInterrupt:
        _leave(INTERRUPTED)
        sys.exit(INTERRUPTED)
    except OSError as error:
        # what click prints itself, of a command or for its help
        sys.exit(f"Error: {plain(_told(error))}")
    except SystemExit as ended:
        if (code := exit_code()) is not None:
            _leave(code)
            sys.exit(code)
        if ended.code in (None, 0) and threading.active_count() == 1:
            _leave(0)
        raise


def _open_streams() -> None:
    """Send to nowhere what goes to standard streams that are closed.

    Else the next file that is opened would take such a number, and a message its bytes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # takes the lowest number that is free
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _leave(code: int) -> None:
    """End the process, as Python does after the main module, but do not tidy up.

    To take down what numpy and pyarrow have made takes as long as to import click.
    """
    ignore_signals()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            # None if it is closed
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            # Python says so, and ends with its own exit code
            return
    os._exit(code)


class _NoPandas:
    """Hides pandas from pyarrow, which imports it to ask whether a list is a Series.

    That takes as long as decoding ten million records, and the answer is always no.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
        /,
    ) -> None:
        """Refuse pandas; leave all else to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("hidden: see `_NoPandas`", name=fullname)
