"""Results from disk."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from replay.errors import OutputError
from replay.results.result import Result
from replay.results.schema import OPTIONAL, RUN_FILE, SCHEMA_VERSION, TABLES


class StoredTables(Mapping[str, pa.Table]):
    """The tables of a result directory, each read when it is first asked for.

    Parameters
    ----------
    directory : Path
        Holds the Parquet files.
    known : mapping of str to pyarrow.Table
        Tables that are in memory already.
    """

    def __init__(
        self, directory: Path, known: Mapping[str, pa.Table] | None = None
    ) -> None:
        self.directory = directory
        self._tables = dict(known or {})
        self._names = [
            name
            for name, spec in TABLES.items()
            if name in self._tables or (directory / spec.file).exists()
        ]

    def __getitem__(self, name: str) -> pa.Table:
        """Return a table, from memory if it was read before."""
        if name not in self._names:
            raise KeyError(name)
        if name not in self._tables:
            self._tables[name] = _read(self.directory / TABLES[name].file, name)
        return self._tables[name]

    def __contains__(self, name: object) -> bool:
        """Tell without reading."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of tables, in the documents' order."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self._names)


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
        info = json.loads(path.read_bytes())
        version = info["schema_version"]
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
    except (ValueError, KeyError, TypeError):
        raise OutputError(f"{path}: not written by replay: run it again") from None
    if version != SCHEMA_VERSION:
        raise OutputError(
            f"{path}: schema_version {version}, this replay reads {SCHEMA_VERSION}: "
            "run it again"
        )
    tables = StoredTables(directory)
    for name, spec in TABLES.items():
        if name not in tables and name not in OPTIONAL:
            raise OutputError(f"{directory / spec.file}: missing: run it again")
    return Result(tables, info)


def _read(path: Path, name: str) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            table = file.read()
            found = file.metadata.metadata or {}
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise OutputError(f"{path}: not a readable table ({reason})") from error
    if not table.schema.equals(TABLES[name].schema):
        raise OutputError(f"{path}: not the columns of {name!r}: run it again")
    # labels stand in the file's metadata; those added after the schema was written (the
    # requests') stand nowhere else
    labels = {key: found[key] for key in sorted(found) if key.startswith(b"replay.")}
    return table.replace_schema_metadata(labels)
