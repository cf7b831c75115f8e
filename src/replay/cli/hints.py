"""Hints for a person who may have meant something else."""

from collections.abc import Sequence
from pathlib import Path

from replay.cli.progress import message


def tell_rest_of_set(inputs: Sequence[str], *, quiet: bool) -> None:
    """Say so if an input is one CPU's file and the other CPUs' lie beside it.

    Parameters
    ----------
    inputs : sequence of str
        As the user gave them.
    quiet : bool
        Say nothing.
    """
    from replay.trace.file.per_cpu import capture_name, is_per_cpu

    given = {Path(one) for one in inputs}
    for base in dict.fromkeys(capture_name(one) for one in given if is_per_cpu(one)):
        name, folder = Path(base).name, Path(base).parent
        rest = [
            path
            for path in folder.iterdir()
            if path not in given
            and is_per_cpu(path)
            and Path(capture_name(path)).name == name
        ]
        if rest:
            files = "file" if len(rest) == 1 else "files"
            message(
                f"{base}: {len(rest)} {files} of other CPUs not read: give {base} to "
                "read the whole set",
                quiet=quiet,
            )


def tell_absent(notes: Sequence[str]) -> None:
    """Warn of cgroups and devices that a scenario limits and the trace has nothing of.

    On the command line that is refused; a file may be for many traces.

    Parameters
    ----------
    notes : sequence of str
        As a result has them.
    """
    from replay.scenario.notes.absent import Absent

    for note in notes:
        if isinstance(note, Absent):
            message(f"warning: {note}")
