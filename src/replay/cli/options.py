"""Options that commands share: the same letter means the same everywhere."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

#: Whether it can be read is found when it is: a refusal like any other.
_FILE: Final = click.Path(path_type=Path, readable=False)


def examples(*lines: str) -> str:
    r"""Write command lines for the end of a command's help, as they stand."""
    # click leaves a paragraph that begins with this alone
    return "\n".join(["\b", "Examples:", *(f"  replay {line}" for line in lines)])


cgroups = click.option(
    "--cgroups",
    type=_FILE,
    metavar="IDS",
    help="File of lines 'ID /PATH' that name the cgroups. "
    "[default: the file 'ids' of an input directory]",
)
alone = click.option(
    "--alone",
    type=click.Path(path_type=Path),
    metavar="CAPTURE",
    help="Another recording of the same disk, in which one cgroup has it to itself; "
    "with convert all cgroups of both have their requests of that one.",
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
    metavar="N",
    help="Threads; the result is the same. [default: one for each processor, 8 at "
    "most; 1 for fewer than 16 MiB]",
)
jobs = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes; the result is the same. [default: one for each processor]",
)
batch_rows = click.option(
    "--batch-rows",
    type=click.IntRange(min=1, max=1 << 24),
    default=1 << 16,
    show_default=True,
    help="Rows handled at a time; the result is the same.",
)
report = click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Make a page to look at and to hand on, too (needs cgroup-replay[plots]).",
)
set_key = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a key of the scenario, after its file; may be given again: "
    "driver.policy=root, /test.slice/memory.max=64M.",
)
assign = click.option(
    "--assign",
    type=_FILE,
    metavar="RULES.toml",
    help="Rules [[assign]] that say whose request it is, before the scenario's.",
)
scenario = click.option(
    "-s",
    "--scenario",
    type=_FILE,
    metavar="SCENARIO.toml",
    help="Driver, cgroups and limits: what the trace does not say.",
)


def input_format(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what the inputs are; the command gets ``format``."""

    @wraps(command)
    def gathered(
        *,
        format_name: str | None,
        columns: str | None,
        blkparse_format: str | None,
        **others: Any,
    ) -> Any:
        from replay.trace.formats.options import FormatOptions

        format = FormatOptions(
            name=format_name, columns=columns, blkparse_format=blkparse_format
        )
        return command(format=format, **others)

    for option in (
        click.option(
            "--blkparse-format",
            metavar="FORMAT",
            help="The format string that blkparse -f was given, for its text.",
        ),
        click.option(
            "--columns",
            metavar="FIELD=COLUMN,...",
            help="What the columns of a CSV file hold, with units, as in "
            "time=ts:us,offset=at:B,size=n:B,op=rw",
        ),
        click.option(
            "--format",
            "format_name",
            metavar="NAME",
            help="Format of the inputs; 'replay formats' lists them. "
            "[default: told by the content, where that is safe]",
        ),
    ):
        option(gathered)
    return gathered


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which requests to keep.

    The command gets ``filters``, None where there are none.
    """

    @wraps(command)
    def gathered(
        *,
        begin: str | None,
        end: str | None,
        devices: tuple[str, ...],
        only_cgroups: tuple[str, ...],
        processes: tuple[str, ...],
        ops: tuple[str, ...],
        sectors: str | None,
        **others: Any,
    ) -> Any:
        given: dict[str, Any] = {
            "begin": begin,
            "end": end,
            "devices": devices,
            "cgroups": only_cgroups,
            "processes": processes,
            "ops": ops,
            "sectors": sectors,
        }
        filters = None
        # "" is a value, and refused
        if any(value not in (None, ()) for value in given.values()):
            from replay.trace.file.filters import Filters

            filters = Filters(**given)
        return command(filters=filters, **others)

    for option in (
        click.option(
            "--sectors",
            metavar="A-B",
            help="Requests that touch one of these sectors of 512 B.",
        ),
        click.option(
            "--op",
            "ops",
            multiple=True,
            metavar="OP",
            help="Requests of this operation: read, write, discard, flush, ...",
        ),
        click.option(
            "--process",
            "processes",
            multiple=True,
            metavar="PID|NAME",
            help="Requests of this pid or name (may be a pattern: 'java*').",
        ),
        click.option(
            "--cgroup",
            "only_cgroups",
            multiple=True,
            metavar="PATH|ID",
            help="Requests of this cgroup and of those below it.",
        ),
        click.option(
            "--device",
            "devices",
            multiple=True,
            metavar="MAJOR:MINOR",
            help="Requests of this device.",
        ),
        click.option(
            "--until",
            "end",
            metavar="TIME",
            help="Requests queued before this time, as for --from.",
        ),
        click.option(
            "--from",
            "begin",
            metavar="TIME",
            help="Requests queued from this time on: seconds since the trace's start, "
            "or a wall-clock time (2026-11-01T12:00:00, UTC unless a zone follows).",
        ),
    ):
        option(gathered)
    return gathered
