"""Vega, Vega-Lite and vega-embed as one script, so that a page fetches nothing."""

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from replay.common.errors import OutputError
from replay.common.output import replacing


def need_vega(path: Path) -> None:
    """Refuse to draw where what draws is not installed.

    Parameters
    ----------
    path : Path
        The output that was asked for, for the message.

    Raises
    ------
    OutputError
        vl-convert is not installed.
    """
    try:
        import_module("vl_convert")
    except ImportError as error:
        raise OutputError(
            f"{path}: {error.name} is not installed, which draws pictures: "
            "pip install 'cgroup-replay[plots]'"
        ) from error


def vega_script() -> str:
    """Return the script; made once for each version of vl-convert, then kept.

    Returns
    -------
    str
        JavaScript that defines ``vegaEmbed``. It is kept in the user's cache
        (``XDG_CACHE_HOME``), where that can be written.
    """
    vl_convert = import_module("vl_convert")
    kept = _cache() / f"vega-{vl_convert.__version__}.js"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text("utf-8")
    script: str = vl_convert.javascript_bundle()
    with suppress(OSError, OutputError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept, overwrite=True) as part:
            part.write_text(script, "utf-8")
    return script


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "replay"
