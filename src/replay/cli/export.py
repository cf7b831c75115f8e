"""``replay export``."""

from pathlib import Path

import click

from replay.cli import options
from replay.cli.progress import message


@click.command(
    epilog=options.examples(
        "export tables --to perfetto",
        "export tables --to perfetto --from 12.5 --most 20000 -o slow.pftrace",
    )
)
@click.argument("outdir", type=click.Path(path_type=Path), metavar="OUTDIR")
@click.option(
    "--to",
    type=click.Choice(["perfetto"]),
    default="perfetto",
    show_default=True,
    help="What it is written for.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to make. [default: OUTDIR.pftrace]",
)
@click.option(
    "--from",
    "begin",
    type=click.FloatRange(0, 9e9),
    default=0.0,
    metavar="SECONDS",
    help="Requests that arrive from this time on, since the trace's start.",
)
@click.option(
    "--most",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Requests at most, in the order of their arrival.",
)
@options.overwrite
@options.quiet
def export(
    outdir: Path,
    to: str,
    output: Path | None,
    begin: float,
    most: int,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Write a result for another program to look at.

    OUTDIR is a directory written by 'replay run --requests -o'. The file opens in
    ui.perfetto.dev: a track for each cgroup and worker, stages nested in requests,
    arrows to who waited, counters of memory (with --interval), requests in flight and
    debt.
    """
    import replay
    from replay.common.errors import OutputError
    from replay.report.perfetto import told, write_perfetto

    result = replay.open_results(outdir)
    if "requests" not in result.tables:
        raise OutputError(f"{outdir}: has no rows of requests: run it with --requests")
    target = output or Path(f"{outdir.resolve().name}.pftrace")
    n_written, n_all = write_perfetto(
        result,
        target,
        from_ns=round(begin * 1e9),
        most=most,
        overwrite=overwrite,
    )
    message(f"wrote {target}: {told(n_written, n_all)}", quiet=quiet)
