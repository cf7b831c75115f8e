"""``replay info``."""

from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.cli.hints import tell_rest_of_set
from replay.cli.progress import message, progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from replay.trace.formats.options import FormatOptions


@click.command(
    epilog=options.examples(
        "info capture",
        "info capture/sda --json",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="TRACE...")
@options.input_format
@options.cgroups
@options.report
@options.overwrite
@options.json
@options.quiet
def info(
    inputs: tuple[str, ...],
    format: "FormatOptions",
    cgroups: "Path | None",
    report: "Path | None",
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what is in a trace.

    TRACE is a trace file or anything that 'replay convert' reads: a blktrace file, the
    base name of a per-CPU set, a directory, or a file of another format.
    """
    if overwrite and report is None:
        raise click.UsageError("--overwrite needs a file: give --report FILE.html.")
    import msgspec

    from replay.capture.gap import recording_notes
    from replay.cli.show import show
    from replay.common.text import plain_json
    from replay.scenario.notes.kernel import lost_notes
    from replay.trace.convert import open_or_convert
    from replay.trace.file.info import trace_info

    if report is not None:
        from replay.report.html.page import check_report

        check_report(report, overwrite=overwrite)
    with (
        progress_bar("Reading", quiet=quiet) as progress,
        open_or_convert(
            inputs, cgroups=cgroups, progress=progress, format=format
        ) as trace,
    ):
        more = [*lost_notes(trace.metadata, None), *recording_notes(trace)]
        facts = trace_info(trace)
        facts = msgspec.structs.replace(facts, notes=[*facts.notes, *more])
        if report is not None:
            from replay.report.html.page import write_page
            from replay.report.html.subjects.trace import trace_content

            write_page(trace_content(trace, facts), report, overwrite=overwrite)
            message(f"wrote {report}", quiet=quiet)
    tell_rest_of_set(inputs, quiet=quiet)
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(facts), indent=2).decode()
        click.echo(plain_json(text))
    else:
        show(facts)
