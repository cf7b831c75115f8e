"""Replay Linux block traces through a model of the loop driver.

Who pays for this I/O, who waits for whom, and what would change under another rule or
limit: `convert` makes a trace file of a recording, `run` replays it under a `Scenario`
and returns a `Result` of tables.
"""

from typing import TYPE_CHECKING, Any

from replay.common.errors import (
    ModelError,
    OutputError,
    ReplayError,
    ScenarioError,
    TraceError,
)
from replay.common.version import VERSION as __version__

if TYPE_CHECKING:
    from replay.calibration.model import Calibration, calibrate
    from replay.curves.curve import Curve, curve
    from replay.dataset.batch import batch
    from replay.dataset.outcome import BatchReport
    from replay.dataset.read import Dataset, open_dataset
    from replay.report.html.contents import write_report
    from replay.results.compare import compare
    from replay.results.merge import merge
    from replay.results.read import open_results
    from replay.results.result import Result
    from replay.runner.run import run
    from replay.scenario.keys.load import Scenario
    from replay.sweeps.sweep import Sweep, sweep
    from replay.trace.convert import convert, open_or_convert
    from replay.trace.events import convert_events
    from replay.trace.file.filters import Filters
    from replay.trace.file.parquet import write_parquet
    from replay.trace.file.read import Trace
    from replay.trace.formats.options import FormatOptions
    from replay.trace.opened import open_trace

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
    "write_report",
]

_MODULES = {
    "Curve": "replay.curves.curve",
    "BatchReport": "replay.dataset.outcome",
    "Calibration": "replay.calibration.model",
    "Dataset": "replay.dataset.read",
    "Filters": "replay.trace.file.filters",
    "FormatOptions": "replay.trace.formats.options",
    "Result": "replay.results.result",
    "Scenario": "replay.scenario.keys.load",
    "Sweep": "replay.sweeps.sweep",
    "Trace": "replay.trace.file.read",
    "batch": "replay.dataset.batch",
    "calibrate": "replay.calibration.model",
    "compare": "replay.results.compare",
    "convert": "replay.trace.convert",
    "convert_events": "replay.trace.events",
    "curve": "replay.curves.curve",
    "merge": "replay.results.merge",
    "open_dataset": "replay.dataset.read",
    "open_or_convert": "replay.trace.convert",
    "open_results": "replay.results.read",
    "open_trace": "replay.trace.opened",
    "run": "replay.runner.run",
    "sweep": "replay.sweeps.sweep",
    "write_parquet": "replay.trace.file.parquet",
    "write_report": "replay.report.html.contents",
}


def __dir__() -> list[str]:
    """List what can be asked for, imported yet or not; nothing else."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:
    """Import what is asked for: ``replay --help`` must not wait for pyarrow."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
