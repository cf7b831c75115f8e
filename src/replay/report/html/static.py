"""Pictures as files: PNG and SVG."""

from collections.abc import Sequence, Set
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from replay.common.errors import OutputError
from replay.common.output import replacing
from replay.report.html.bundle import need_vega
from replay.report.html.drawing import SCHEMA, SIGNALS, Picture, Spec

#: Endings of files that hold all pictures of something.
FORMATS: Final = (".png", ".svg", ".html")
_WIDTH: Final = 720
#: Pictures below each other are smaller.
_WIDTH_OF_ONE: Final = 520
_BACKGROUND: Final = "white"


def check_plot(path: Path) -> None:
    """Refuse what cannot be drawn, before any work is done.

    Raises
    ------
    OutputError
        The file's ending is no format, or what draws is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: name a file that ends in {', '.join(FORMATS)}")
    need_vega(path)


def write_pictures(
    pictures: Sequence[Picture], directory: Path, *, overwrite: bool = False
) -> int:
    """Write each picture as ``NAME.png`` and ``NAME.svg``.

    Parameters
    ----------
    pictures : sequence of Picture
    directory : Path
        Made if it is not there.
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
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{directory}: cannot be made: {error.strerror or error}"
        ) from error
    for one in pictures:
        spec = {**titled(one, _WIDTH), "background": _BACKGROUND}
        for suffix in (".svg", ".png"):
            target = directory / f"{one.name}{suffix}"
            with replacing(target, overwrite=overwrite) as part:
                part.write_bytes(rendered(spec, suffix))
    return len(pictures)


def write_chart(
    pictures: Sequence[Picture], path: Path, *, overwrite: bool = False
) -> None:
    """Write all pictures below each other as one PNG or SVG.

    Parameters
    ----------
    pictures : sequence of Picture
    path : Path
        Its ending says which.
    overwrite : bool
        Replace the file that is there.

    Raises
    ------
    OutputError
        What draws is not installed, or the file cannot be written.
    """
    need_vega(path)
    parts = []
    for one in pictures:
        spec = titled(one, _WIDTH_OF_ONE)
        for name in ("$schema", "params"):
            spec.pop(name, None)
        parts.append(spec)
    whole: Spec = {
        "$schema": SCHEMA,
        "params": SIGNALS,
        "background": _BACKGROUND,
        "vconcat": parts or [_nothing()],
        "resolve": {"scale": {"color": "independent"}},
    }
    with replacing(path, overwrite=overwrite) as part:
        part.write_bytes(rendered(whole, path.suffix.lower()))


def rendered(spec: Spec, suffix: str) -> bytes:
    """Draw a specification.

    Parameters
    ----------
    spec : dict
        Vega-Lite.
    suffix : str
        ``".svg"`` or ``".png"``.

    Returns
    -------
    bytes
    """
    vl_convert = import_module("vl_convert")
    if suffix == ".svg":
        svg: str = vl_convert.vegalite_to_svg(spec)
        return svg.encode("utf-8")
    png: bytes = vl_convert.vegalite_to_png(spec, scale=2)
    return png


def titled(one: Picture, width: int) -> Spec:
    """Return a picture's specification with its title, and of a fixed width."""
    # what is cut is said in the picture, too
    title: dict[str, Any] = {"text": one.title, "anchor": "start"}
    if one.note:
        title["subtitle"] = one.note
    spec: Spec = {**one.spec, "title": title}
    if spec.get("width") == "container":
        spec["width"] = width
    names = {
        value
        for row in spec["data"]["values"]
        for value in row.values()
        if isinstance(value, str)
    }
    found: Spec = _with_legends(spec, names)
    return found


def _with_legends(part: Any, names: Set[str]) -> Any:
    """Say whose colours they are: a page has buttons for that, a file has not."""
    if isinstance(part, list):
        return [_with_legends(one, names) for one in part]
    if not isinstance(part, dict):
        return part
    found = {
        key: value if key == "data" else _with_legends(value, names)
        for key, value in part.items()
    }
    scale = found.get("scale") or {}
    if "legend" in found and found["legend"] is None and "domain" in scale:
        found["legend"] = {
            "orient": "bottom",
            "columns": 4,
            "title": found.get("title"),
            "values": [name for name in scale["domain"] if name in names],
        }
    return found


def _nothing() -> Spec:
    return {
        "data": {"values": [{"text": "there is nothing to draw"}]},
        "mark": "text",
        "encoding": {"text": {"field": "text"}},
    }
