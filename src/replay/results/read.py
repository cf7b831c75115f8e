"""Results from disk."""

from pathlib import Path

import msgspec

from replay.common.bounded import LIST_BYTES, read_bounded
from replay.common.errors import OutputError
from replay.results.result import Result
from replay.results.run_check import checked_info
from replay.results.schema import OPTIONAL, RUN_FILE, SCHEMA_VERSION, TABLES
from replay.results.stored import StoredTables


class _RunVersion(msgspec.Struct):
    schema_version: int


def open_results(outdir: str | Path) -> Result:
    """Open a result directory.

    Parameters
    ----------
    outdir : str or Path
        Written by ``replay run -o`` or `Result.write`.

    Returns
    -------
    Result
        Its tables are read when they are first asked for.

    Raises
    ------
    OutputError
        There is no result, or one of a newer version.
    """
    directory = Path(outdir)
    path = directory / RUN_FILE
    try:
        text = read_bounded(path, LIST_BYTES)
        version = msgspec.json.decode(text, type=_RunVersion).schema_version
    except (FileNotFoundError, NotADirectoryError):
        what = f"no {RUN_FILE} in it"
        if not directory.is_dir():
            there = directory.exists()
            what = "is a file, not a result" if there else "no such directory"
        raise OutputError(
            f"{directory}: {what}: name a directory written by 'replay run -o'"
        ) from None
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error
    except ValueError:
        raise OutputError(f"{path}: not written by replay: run it again") from None
    if version != SCHEMA_VERSION:
        raise OutputError(
            f"{path}: schema_version {version}, this replay reads {SCHEMA_VERSION}: "
            "run it again"
        )
    try:
        info = checked_info(text)
    except ValueError as error:
        raise OutputError(f"{path}: is damaged: {error}: run it again") from error
    tables = StoredTables(directory, info=info)
    for name, spec in TABLES.items():
        if name not in tables and name not in OPTIONAL:
            raise OutputError(f"{directory / spec.file}: missing: run it again")
    return Result(tables, info)
