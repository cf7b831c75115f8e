"""A device model as a part of a scenario, with how well it fits."""

from replay.calibration.disk import DiskCalibration, disk_toml
from replay.calibration.model import Calibration
from replay.calibration.times import MEASURES
from replay.common.plain import plain
from replay.common.text import count_text, time_text
from replay.scenario.writing.toml import service_section


def calibration_toml(found: Calibration | DiskCalibration) -> str:
    """Write a calibration for ``replay run -s``.

    Parameters
    ----------
    found : Calibration

    Returns
    -------
    str
        TOML; what was measured stands in comments.
    """
    if isinstance(found, DiskCalibration):
        return disk_toml(found)
    lines = [
        f"# Service times of {found.device}, fitted to {plain(found.trace)}",
        "# and replayed with them (its own driver, arrivals.mode = dependent: with",
        "# recorded arrivals the waits for a slower device pile up):",
    ]
    for op, fit in found.fits.items():
        line = found.lines[op]
        sizes = f"{line.least_bytes:,} B"
        if line.most_bytes != line.least_bytes:
            sizes = f"{line.least_bytes:,} to {line.most_bytes:,} B"
        lines.append(
            f"# {op}: {count_text(line.n, 'request')} of {sizes}, "
            f"{line.n_random / line.n:.0%} random; "
            f"the line explains {line.r2:.0%} of the variance"
        )
        for name in MEASURES:
            recorded, replayed = fit.recorded[name], fit.replayed[name]
            lines.append(
                f"#   {name.removesuffix('_ns'):<5}recorded {time_text(recorded)}, "
                f"replayed {time_text(replayed)} "
                f"({replayed / max(1, recorded) - 1:+.1%})"
            )
        lines += [f"#   {note}" for note in line.notes]
    models = {op: line.values for op, line in found.lines.items()}
    lines += ["", *service_section(models, found.parallel)]
    lines += [
        "",
        "# The same for the kernel's iocost, to be written to io.cost.model:",
        f"# {found.iocost}",
        "",
    ]
    return "\n".join(lines)
