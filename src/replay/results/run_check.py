"""Whether ``run.json`` says what it must, in the right types."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from replay.results.run_info import identity
from replay.trace.file.metadata import Quality, SourceFile

#: Counts that every result has.
_COUNTS: Final = ("requests",)


class _Trace(Struct, kw_only=True):
    path: str
    sha256: str
    sources: list[SourceFile]
    writer: str
    format: str
    rows: int
    devices: list[str]
    span_ns: int
    wall_clock_ns: int | None


class _Info(Struct, kw_only=True):
    schema_version: int
    # one of 0.1.0 does not say it
    model_version: int = 1
    versions: dict[str, str]
    scenario: dict[str, Any]
    scenario_sha256: str
    trace: _Trace
    assign: dict[str, Any] | None
    dependence: dict[str, Any] | None
    quality: Quality
    notes: list[str]
    counts: dict[str, int]
    interval_ns: int | None
    workers_peak: int
    timings: dict[str, float]
    rate: dict[str, float]


def checked_info(text: str | bytes) -> dict[str, Any]:
    """Read what ``run.json`` says.

    Parameters
    ----------
    text : str or bytes
        JSON.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        It is no JSON, or something is missing or of another type: which key.
    """
    try:
        info: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    found = msgspec.convert(info, _Info)
    for name in _COUNTS:
        if name not in found.counts:
            raise ValueError(f"counts: {name!r} is missing")
    if "total_s" not in found.timings or "requests_per_s" not in found.rate:
        raise ValueError("timings or rate: not complete")
    if "replay" not in found.versions:
        raise ValueError("versions: replay's is missing")
    if identity(found.scenario) != found.scenario_sha256:
        raise ValueError("scenario: is not the one that scenario_sha256 tells of")
    return info
