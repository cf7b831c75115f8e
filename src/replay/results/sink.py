"""The place of a run's results: memory, or a directory that appears whole."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from replay.engine.raw import Raw
from replay.results.directory import OutputDirectory
from replay.results.result import Result
from replay.results.run_info import labels
from replay.results.stored import StoredTables
from replay.results.tables import Names, RequestLookup, build_tables, tables_in_parts
from replay.results.write import RequestsWriter, write_info, write_table


class ResultSink:
    """The place of a run's results.

    A context manager around the run: the output is refused before any work is done,
    requests stream to it during the run, `finish` makes the result and puts it in its
    place. Left without `finish`, nothing is left behind.

    Parameters
    ----------
    names : Names
        What the engine's ids stand for.
    output : Path or None
        Result directory to write, if any.
    overwrite : bool
        Replace the result that is there.
    requests : RequestLookup or None
        What the trace has of every request, to keep them; None keeps none.

    Attributes
    ----------
    requests : RequestsWriter or None
        Takes the engine's request columns, if they are wanted.
    """

    def __init__(
        self,
        names: Names,
        *,
        output: Path | None = None,
        overwrite: bool = False,
        requests: RequestLookup | None = None,
    ) -> None:
        self._names = names
        self._wanted = requests
        self._directory = (
            None if output is None else OutputDirectory(output, overwrite=overwrite)
        )
        self._stack = ExitStack()
        self.requests: RequestsWriter | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._directory is not None:
                stack.enter_context(self._directory)
            if self._wanted is not None:
                self.requests = RequestsWriter(
                    self._names, self._wanted, self._directory
                )
                stack.callback(self.requests.abandon)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def finish(self, raw: Raw, info: dict[str, Any]) -> Result:
        """Make the result; write it if there is an output.

        Parameters
        ----------
        raw : mapping of str to columns
            What the engine counted; its requests have gone to `requests`.
        info : dict
            From `replay.results.run_info.run_info`.

        Returns
        -------
        Result
        """
        if self._directory is None:
            tables = {
                name: table.replace_schema_metadata(labels(info, name))
                for name, table in build_tables(raw, self._names).items()
            }
            if self.requests is not None:
                requests = self.requests.close(labels(info, "requests"))
                assert requests is not None
                tables["requests"] = requests
            return Result(tables, info)
        if self.requests is not None:
            self.requests.close(labels(info, "requests"))
        small = {}
        for name, parts in tables_in_parts(raw, self._names):
            labelled = (
                part.replace_schema_metadata(labels(info, name)) for part in parts
            )
            first, n_parts = write_table(self._directory, name, labelled)
            # what is larger is read again if somebody asks for it
            if n_parts == 1:
                small[name] = first
        write_info(self._directory, info)
        self._directory.commit()
        place = self._directory.target.resolve()
        return Result(StoredTables(place, small, info=info), info)
