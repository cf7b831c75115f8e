"""``replay report``."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from replay.cli import options
from replay.cli.progress import message

if TYPE_CHECKING:
    from replay.dataset.read import Dataset
    from replay.trace.file.read import Trace

_NAME = "name a directory of 'replay run -o', a dataset or a trace file"
#: What a file of another kind is, and what to do.
_OTHERS: Final = {
    ".toml": "is a scenario, no result: 'replay run TRACE -s FILE --report FILE.html' "
    "makes a page of a replay under it",
    ".parquet": f"is a table, no result: {_NAME}",
    **dict.fromkeys((".png", ".svg", ".pdf"), f"is a picture, no result: {_NAME}"),
    **dict.fromkeys((".md", ".ipynb", ".py"), f"is no result and no trace: {_NAME}"),
}


@click.command(
    epilog=options.examples(
        "report tables -o page.html",
        "report before after -o both.html --anonymous",
        "report tables --pictures pictures",
    )
)
@click.argument("outdirs", nargs=-1, required=True, metavar="OUTDIR...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="The page; all that it needs is in it. [default: OUTDIR.html]",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write each picture as a PNG and an SVG, in place of the page.",
)
@click.option(
    "--anonymous",
    is_flag=True,
    help="Replace the names of cgroups and leave out the names of files.",
)
@options.overwrite
@options.quiet
def report(
    outdirs: tuple[str, ...],
    output: Path | None,
    pictures: Path | None,
    anonymous: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Make a page to look at and to hand on.

    OUTDIR is a directory written by 'replay run -o', or the dataset of 'replay batch',
    or a trace file of 'replay convert'. Several results are shown beside each other,
    the first one as the base. The page is one file of HTML that loads nothing.
    Give 'replay run' --interval auto and --requests to see when it happened, too.
    """
    if pictures is not None and output is not None:
        raise click.UsageError("give -o FILE.html or --pictures DIR, not both.")
    import replay
    from replay.common.errors import OutputError
    from replay.common.text import path_text
    from replay.report.html.anonymous import without_names
    from replay.report.html.contents import pictures_of
    from replay.report.html.page import check_report
    from replay.report.html.pictures import pictures as result_pictures
    from replay.report.html.static import write_pictures

    target = output or Path(f"{Path(outdirs[0]).resolve().name}.html")
    if pictures is None:
        check_report(target, overwrite=overwrite)
    for outdir in outdirs:
        if wrong := _other_file(Path(outdir)):
            raise OutputError(f"{outdir}: {wrong}")
    if len(outdirs) == 1 and (what := _no_result(outdirs[0])) is not None:
        if anonymous:
            raise click.UsageError("--anonymous is for directories of results.")
        if pictures is not None:
            n = write_pictures(pictures_of(what), pictures, overwrite=overwrite)
            message(f"{n} pictures in {pictures}", quiet=quiet)
            return
        replay.write_report(what, target, overwrite=overwrite)
        message(f"wrote {target}", quiet=quiet)
        return
    names = [path_text(Path(outdir).resolve().name) for outdir in outdirs]
    if len(set(names)) < len(names):
        names = [path_text(outdir) for outdir in outdirs]
    results = {
        name: replay.open_results(outdir)
        for name, outdir in zip(names, outdirs, strict=True)
    }
    if pictures is not None:
        shown = without_names(results) if anonymous else results
        n = write_pictures(result_pictures(shown), pictures, overwrite=overwrite)
        message(f"{n} pictures in {pictures}", quiet=quiet)
        return
    replay.write_report(results, target, anonymous=anonymous, overwrite=overwrite)
    message(f"wrote {target}", quiet=quiet)


def _no_result(place: str) -> "Dataset | Trace | None":
    """Open what is a dataset or a trace file; None for a result.

    Raises
    ------
    OutputError
        It is neither.
    """
    from replay.common.errors import OutputError
    from replay.dataset.layout import INTERNAL
    from replay.dataset.read import open_dataset
    from replay.results.schema import RUN_FILE
    from replay.trace.file.read import is_arrow, open_trace

    if is_arrow(place):
        return open_trace(place)
    if "://" in place or (Path(place) / INTERNAL).is_dir():
        return open_dataset(place)
    if Path(place).exists() and not (Path(place) / RUN_FILE).is_file():
        raise OutputError(
            f"{place}: no result of 'replay run -o': 'replay run {place} --report "
            f"FILE.html' makes a page of a replay, 'replay info {place} --report "
            "FILE.html' one of the trace alone"
        )
    return None


def _other_file(path: Path) -> str:
    """Say what a file is that is neither a result nor a trace; "" if it may be one."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "is a page already: open it in a browser"
    if path.name == "run.json":
        return f"is part of a result: name its directory, {path.parent}"
    return _OTHERS.get(path.suffix.lower(), "")
