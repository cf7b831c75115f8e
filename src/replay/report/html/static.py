"""The pictures of a page as files: PNG and SVG."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from replay.common.errors import OutputError
from replay.common.output import replacing
from replay.report.html.anonymous import without_names
from replay.report.html.bundle import need_vega
from replay.report.html.pictures import pictures
from replay.results.result import Result

_WIDTH: Final = 720


def write_pictures(
    results: Mapping[str, Result],
    directory: Path,
    *,
    anonymous: bool = False,
    overwrite: bool = False,
) -> int:
    """Write each picture of some results as ``NAME.png`` and ``NAME.svg``.

    Parameters
    ----------
    results : mapping of str to Result
    directory : Path
        Made if it is not there.
    anonymous : bool
        Replace the names of cgroups.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    int
        How many pictures there are.

    Raises
    ------
    OutputError
        What draws is not installed, or a file cannot be written.
    """
    need_vega(directory)
    vl_convert = import_module("vl_convert")
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{directory}: cannot be made: {error.strerror or error}"
        ) from error
    drawn = pictures(without_names(results) if anonymous else results)
    for one in drawn:
        spec: dict[str, Any] = {
            **one.spec,
            "title": {"text": one.title, "anchor": "start"},
        }
        if spec.get("width") == "container":
            spec["width"] = _WIDTH
        for suffix, content in (
            (".svg", vl_convert.vegalite_to_svg(spec).encode("utf-8")),
            (".png", vl_convert.vegalite_to_png(spec, scale=2)),
        ):
            target = directory / f"{one.name}{suffix}"
            with replacing(target, overwrite=overwrite) as part:
                part.write_bytes(content)
    return len(drawn)
