"""What each release measured, kept as JSON, and the rows that changed since the last.

On a machine that others use, processors' times differ by several per cent from run to
run: a row counts as changed where they differ by more than the repeats of either do,
and by more than a tenth.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Result

PLACE: Final = Path(__file__).parent / "releases"
#: Less is noise, however alike the repeats are.
LEAST: Final = 0.1


def kept(
    results: Sequence[Result], machine: dict[str, str], date: str
) -> dict[str, Any]:
    """Return what is kept of a run.

    Parameters
    ----------
    results : sequence of Result
    machine : dict of str to str
        From `benchmarks.machine.describe`.
    date : str

    Returns
    -------
    dict of str to Any
        For JSON: times a unit in ns, of the processors (least of the repeats) and by
        the clock (median); how far the repeats' processors' times lie apart.
    """
    return {
        "date": date,
        "machine": machine,
        "cases": {
            one.case: {
                "unit": one.unit,
                "count": one.count,
                "cpu_ns": round(one.ns(one.cpu), 3),
                "median_ns": round(one.ns(one.median), 3),
                "spread": round(_spread(one), 4),
                "bytes_peak": one.bytes_peak,
            }
            for one in results
        },
    }


def _spread(result: Result) -> float:
    """Return how far the repeats lie apart, as a share of the least."""
    return max(one.cpu for one in result.spent) / result.cpu - 1 if result.cpu else 0.0


def write(found: dict[str, Any], version: str, place: Path = PLACE) -> None:
    """Keep what a release measured."""
    place.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (place / f"{version}.json").write_text(f"{text}\n")


def last_before(version: str, place: Path = PLACE) -> tuple[str, dict[str, Any]] | None:
    """Return the newest release that is kept before a version, and what it measured."""
    versions = sorted(
        (path.stem for path in place.glob("*.json")), key=_numbers, reverse=True
    )
    for one in versions:
        if _numbers(one) < _numbers(version):
            return one, json.loads((place / f"{one}.json").read_text())
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def changes(found: dict[str, Any], before: tuple[str, dict[str, Any]] | None) -> str:
    """Lay out the rows that changed.

    Parameters
    ----------
    found : dict of str to Any
        From `kept`.
    before : tuple of str and dict, or None
        From `last_before`.

    Returns
    -------
    str
        Markdown; empty if nothing is known of an earlier release.
    """
    if before is None:
        return ""
    version, old = before
    lines = []
    for case, row in found["cases"].items():
        past = old["cases"].get(case)
        # twice as many may be what fits no cache
        if past is None or not 0.9 < row["count"] / past["count"] < 1.1:
            continue
        noise = max(LEAST, row["spread"], past["spread"])
        lines += _line(case, past["cpu_ns"], row["cpu_ns"], noise, "ns", 1)
        lines += _line(case, past["bytes_peak"], row["bytes_peak"], LEAST, "MB", 1e6)
    head = f"Changed since {version} ({old['date']}), by more than the noise"
    if (machine := _machine(old)) != _machine(found):
        head += f"; that was another machine ({machine})"
    if not lines:
        return f"{head}: nothing.\n\n"
    table = ["| case | before | now | |", "|---|---:|---:|---:|", *lines]
    return f"{head}; times are of processors:\n\n" + "\n".join(table) + "\n\n"


def _machine(found: dict[str, Any]) -> str:
    return "; ".join(found["machine"].get(one, "") for one in ("CPU", "caches"))


def _line(
    case: str, old: float, new: float, noise: float, unit: str, scale: float
) -> list[str]:
    if not (old and new) or max(old, new) / min(old, new) <= 1 + noise:
        return []
    return [
        f"| {case} | {old / scale:,.1f} {unit} | {new / scale:,.1f} {unit} "
        f"| {new / old:.2f} |"
    ]
