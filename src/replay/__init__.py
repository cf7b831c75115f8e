"""Replay Linux block traces through a model of the loop driver.

Who pays for this I/O, who waits for whom, and what would change under another rule or
limit: `convert` makes a trace file of a recording, `run` replays it under a `Scenario`
and returns a `Result` of tables.
"""

from typing import TYPE_CHECKING, Any

from replay.errors import (
    ModelError,
    OutputError,
    ReplayError,
    ScenarioError,
    TraceError,
)
from replay.version import VERSION as __version__

if TYPE_CHECKING:
    from replay.calibration.model import Calibration, calibrate
    from replay.dataset.batch import batch
    from replay.dataset.read import Dataset, open_dataset
    from replay.dataset.report import BatchReport
    from replay.distance.curve import Curve, curve
    from replay.replayer import run
    from replay.results.compare import compare
    from replay.results.merge import merge
    from replay.results.read import open_results
    from replay.results.result import Result
    from replay.scenario.load import Scenario
    from replay.trace.convert import convert, open_or_convert
    from replay.trace.events import convert_events
    from replay.trace.file import Trace, open_trace
    from replay.trace.filters import Filters
    from replay.trace.formats.options import FormatOptions
    from replay.trace.parquet import write_parquet
    from replay.vary.sweep import Sweep, sweep

__all__ = [
    "BatchReport",
    "Calibration",
    "Curve",
    "Dataset",
    "Filters",
    "FormatOptions",
    "ModelError",
    "OutputError",
    "ReplayError",
    "Result",
    "Scenario",
    "ScenarioError",
    "Sweep",
    "Trace",
    "TraceError",
    "__version__",
    "batch",
    "calibrate",
    "compare",
    "convert",
    "convert_events",
    "curve",
    "merge",
    "open_dataset",
    "open_or_convert",
    "open_results",
    "open_trace",
    "run",
    "sweep",
    "write_parquet",
]

_MODULES = {
    "Curve": "replay.distance.curve",
    "BatchReport": "replay.dataset.report",
    "Calibration": "replay.calibration.model",
    "Dataset": "replay.dataset.read",
    "Filters": "replay.trace.filters",
    "FormatOptions": "replay.trace.formats.options",
    "Result": "replay.results.result",
    "Scenario": "replay.scenario.load",
    "Sweep": "replay.vary.sweep",
    "Trace": "replay.trace.file",
    "batch": "replay.dataset.batch",
    "calibrate": "replay.calibration.model",
    "compare": "replay.results.compare",
    "convert": "replay.trace.convert",
    "convert_events": "replay.trace.events",
    "curve": "replay.distance.curve",
    "merge": "replay.results.merge",
    "open_dataset": "replay.dataset.read",
    "open_or_convert": "replay.trace.convert",
    "open_results": "replay.results.read",
    "open_trace": "replay.trace.file",
    "run": "replay.replayer",
    "sweep": "replay.vary.sweep",
    "write_parquet": "replay.trace.parquet",
}


def __dir__() -> list[str]:
    """List what can be asked for, imported yet or not."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import what is asked for: ``replay --help`` must not wait for pyarrow."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
