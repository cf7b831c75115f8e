"""``replay why``."""

from pathlib import Path

import click

from replay.cli import options
from replay.cli.show import show


@click.command(
    epilog=options.examples(
        "why tables",
        "why tables --cgroup /test.slice/a --top 10",
        "why tables --row 4711",
    )
)
@click.argument("outdir", type=click.Path(path_type=Path), metavar="OUTDIR")
@click.option(
    "--top",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="How many requests are explained.",
)
@click.option(
    "--cgroup",
    metavar="PATH",
    help="The slowest requests of this cgroup. [default: the slowest of each]",
)
@click.option(
    "--row",
    type=click.IntRange(0),
    metavar="N",
    help="The request of this row of the trace, as 'row' is in requests.parquet.",
)
@options.json
def why(
    outdir: Path, top: int, cgroup: str | None, row: int | None, as_json: bool
) -> None:
    """Say why requests were slow and tasks were killed.

    OUTDIR is a directory written by 'replay run --requests -o'. Each request is told
    stage by stage: what it waited for, behind whom, and what would have removed the
    wait. Without --requests kills and the sums of waits are told.
    """
    if cgroup is not None and row is not None:
        raise click.UsageError("give --cgroup or --row, not both.")
    import replay
    from replay.common.errors import OutputError
    from replay.report.explain import explain
    from replay.report.why import why_page

    result = replay.open_results(outdir)
    known = result.memory["cgroup"].to_pylist()
    if cgroup is not None and cgroup not in known:
        raise OutputError(
            f"{outdir}: has no cgroup {cgroup}; it has {', '.join(known[:5])}"
        )
    if row is not None and "requests" not in result.tables:
        raise OutputError(f"{outdir}: has no rows of requests: run with --requests")
    found = explain(result, most=top, cgroup=cgroup, row=row)
    if row is not None and not found.requests:
        n_rows = result.info["trace"]["rows"]
        raise OutputError(
            f"{outdir}: no request of row {row} was replayed: the trace's rows are 0 "
            f"to {n_rows - 1:,}"
        )
    if as_json:
        import msgspec

        from replay.common.text import plain_json

        click.echo(plain_json(msgspec.json.encode(found).decode()))
        return
    show(why_page(found))
