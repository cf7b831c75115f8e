"""Record a scenario on a real kernel.

    python -m lab.record_scenario SCENARIO [NAME=VALUE...] -o DIR [--kernel 6.12...]

Run in ``tests``, as root, on Debian. SCENARIO is one of ``lab/scenarios`` or a shell
script of your own; it runs in a virtual machine with the functions of
``scenarios/lib.sh``, NAMEs set. DIR gets the traces, every cgroup's counters before
and after, and their ids: what ``python -m fidelity --recordings`` reads, DIR
being a folder in it, and ``replay`` itself.
"""

import argparse
import re
import shlex
import tempfile
from pathlib import Path

from lab.virtual_machine import VirtualMachine

SCENARIOS = Path(__file__).parent / "scenarios"
SETTING = re.compile(r"[A-Z][A-Z_0-9]*=.*")


def script(scenario: str, settings: list[str]) -> str:
    """Return what the guest runs.

    Parameters
    ----------
    scenario : str
        Name of a scenario, or path of a script.
    settings : list of str
        ``NAME=VALUE``.

    Returns
    -------
    str
        The shell script.

    Raises
    ------
    SystemExit
        There is no such scenario, or a setting is none.
    """
    path = Path(scenario)
    if not path.suffix:
        path = SCENARIOS / f"{scenario}.sh"
    if not path.is_file():
        names = sorted(one.stem for one in SCENARIOS.glob("*.sh") if one.stem != "lib")
        raise SystemExit(f"{scenario}: not a scenario: {', '.join(names)}, or a script")
    for setting in settings:
        if not SETTING.fullmatch(setting):
            raise SystemExit(f"{setting}: not NAME=VALUE")
    values = [
        f"{name}={shlex.quote(value)}"
        for name, _, value in (setting.partition("=") for setting in settings)
    ]
    parts = [(SCENARIOS / "lib.sh").read_text(), *values, path.read_text()]
    return "\n".join(parts)


def main() -> None:
    """Boot, record, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario")
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--kernel",
        nargs="+",
        default=["6.1"],
        metavar="RELEASE",
        help="as 6.1 or 6.12; of several, DIR gets RELEASE/SCENARIO for each",
    )
    parser.add_argument(
        "--icount", action="store_true", help="a clock that counts instructions"
    )
    parser.add_argument("--seconds", type=int, default=300, help="at most")
    chosen = parser.parse_args()
    places = {chosen.kernel[0]: chosen.output}
    if len(chosen.kernel) > 1:
        name = Path(chosen.scenario).stem
        places = {kernel: chosen.output / kernel / name for kernel in chosen.kernel}
    for place in places.values():
        if place.exists():
            raise SystemExit(f"{place}: exists already")
    text = script(chosen.scenario, chosen.settings)
    for kernel, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            machine = VirtualMachine.build(Path(work), kernel=kernel)
            log = machine.run(text, place, seconds=chosen.seconds, icount=chosen.icount)
        print(log, end="")
        print(f"{place}: Linux {(place / 'kernel').read_text().strip()}")


if __name__ == "__main__":
    main()
