"""Open a dataset that `replay.batch` wrote."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset as ds

from replay.common.errors import OutputError
from replay.common.shown import Drawn
from replay.dataset.check import check_names, check_table, damaged, missing_tables
from replay.dataset.damage import intact
from replay.dataset.generation import Pairs
from replay.dataset.layout import COLUMNS, DatasetLayout, Manifest, read_manifest
from replay.dataset.places import Place
from replay.dataset.rows import RUNS, SCHEMAS
from replay.results.result import Result
from replay.results.run_check import checked_info
from replay.results.schema import OPTIONAL, TABLES

if TYPE_CHECKING:
    from replay.results.compare import Comparison


class Dataset(Drawn):
    """Tables of many pairs of a trace and a scenario.

    Each table is what ``docs/tables.md`` describes, behind the columns ``trace`` and
    ``scenario``; ``runs`` has a row for each pair. Rows are ordered by trace, then
    scenario, then as in the pair's own result.

    Parameters
    ----------
    root : Place
    manifest : Manifest

    Attributes
    ----------
    tables : mapping of str to pyarrow.dataset.Dataset
        Nothing is read before it is asked for.
    named : sequence of str
        Scenarios in the order in which batches named them; empty where a version that
        did not note it wrote the dataset.
    """

    def __init__(self, root: Place, manifest: Manifest) -> None:
        self.root = root
        self._manifest = manifest
        self.named: Sequence[str] = manifest.scenarios
        self._pairs: Pairs | None = None
        self._checked: set[str] = set()
        self.tables: Mapping[str, ds.Dataset] = {
            name: _open(root, manifest.tables.get(name, []), schema)
            for name, schema in SCHEMAS.items()
        }

    @property
    def runs(self) -> pa.Table:
        """One row for each pair: status, error, counts, versions; without ``run``."""
        names = [name for name in SCHEMAS[RUNS].names if name != "run"]
        return self.scan(RUNS, columns=names)

    def table(
        self, name: str, *, trace: str | None = None, scenario: str | None = None
    ) -> pa.Table:
        """Read a table, of all pairs or of some.

        Parameters
        ----------
        name : str
            ``"charges"``, ``"latency"``, …, or ``"runs"``.
        trace, scenario : str or None
            Only rows of this trace, of this scenario.

        Returns
        -------
        pyarrow.Table
        """
        if name not in self.tables:
            raise KeyError(f"{name!r} is not one of {', '.join(self.tables)}")
        wanted = {"trace": trace, "scenario": scenario}
        chosen = None
        for column, value in wanted.items():
            if value is not None:
                part = pc.field(column) == value
                chosen = part if chosen is None else chosen & part
        return self.scan(name, chosen=chosen)

    def scan(
        self,
        name: str,
        *,
        columns: list[str] | None = None,
        chosen: pc.Expression | None = None,
    ) -> pa.Table:
        """Read columns of a table, of the rows for which an expression holds.

        Parameters
        ----------
        name : str
        columns : list of str or None
            None: all of them.
        chosen : pyarrow.compute.Expression or None
            None: every row.

        Returns
        -------
        pyarrow.Table

        Raises
        ------
        OutputError
            A file of the table is damaged or gone.
        """
        self._check(name)
        with intact(self.root / name):
            found = self.tables[name].to_table(columns=columns, filter=chosen)
            found.validate(full=True)
            return found

    def _check(self, name: str) -> None:
        """Make sure, once, that a table is what was written."""
        if name in self._checked:
            return
        layout = DatasetLayout(self.root)
        if self._pairs is None:
            self._pairs = Pairs.read(layout, self._manifest.generation)
        n_rows = int(self._pairs.n_rows[name].sum())
        check_table(layout, self._manifest, name, n_rows)
        self._checked.add(name)

    def result(self, trace: str, scenario: str) -> Result:
        """Give a pair's result, as `replay.run` would have.

        Raises
        ------
        OutputError
            There is no such pair, or it failed.
        """
        rows = self.table(RUNS, trace=trace, scenario=scenario).to_pylist()
        if not rows:
            raise OutputError(
                f"{self.root}: holds no pair of {trace!r} and {scenario!r}: its table "
                "'runs' lists what it holds"
            )
        if rows[0]["run"] is None:
            raise OutputError(
                f"{self.root}: {trace}, {scenario}: failed: {rows[0]['error']}"
            )
        try:
            info: dict[str, Any] = checked_info(rows[0]["run"])
        except ValueError as error:
            raise damaged(self.root / RUNS, f"run: {error}") from error
        tables = {
            name: self.table(name, trace=trace, scenario=scenario)
            .select(TABLES[name].schema.names)
            .cast(TABLES[name].schema)
            for name in SCHEMAS
            if name != RUNS
        }
        # a table that was not asked for is none, not one without rows
        for name in OPTIONAL:
            if not tables[name].num_rows:
                del tables[name]
        return Result(tables, info)

    def compare(
        self, base: str, other: str, *, traces: Sequence[str] = ()
    ) -> "Comparison":
        """Find what differs between two scenarios, added up over traces.

        Parameters
        ----------
        base, other : str
            Names of scenarios, or patterns that stand for one of each trace.
        traces : sequence of str
            Names or patterns of the traces to take; none: all of them.

        Returns
        -------
        Comparison
            As `replay.compare` gives; ``kills`` has a column ``trace`` more.

        Raises
        ------
        OutputError
            There is no such scenario or trace, or the two have no trace in common.
        """
        from replay.dataset.compare import compare_scenarios

        (found,) = compare_scenarios(self, (base, other), traces=traces)
        return found

    def __repr__(self) -> str:
        return f"<Dataset {self.root.text!r}, {self.tables[RUNS].count_rows()} pairs>"


def open_dataset(path: str | Path) -> Dataset:
    """Open a dataset.

    Parameters
    ----------
    path : str or Path
        A directory or an address, as ``replay batch -o`` was given it.

    Returns
    -------
    Dataset
        As it was after the last batch that ended: what a batch that is at work has
        finished meanwhile is not seen.

    Raises
    ------
    OutputError
        There is no dataset, it is of another version, or no batch has ended yet.
    """
    root = Place.of(path)
    path = root.text if root.local is None else path
    manifest = read_manifest(root)
    if manifest.columns != COLUMNS:
        raise OutputError(
            f"{path}: made by replay {manifest.version}, whose tables have other "
            "columns: read its files with another program, or make it again"
        )
    if not manifest.tables:
        raise OutputError(
            f"{path}: has no tables yet: they are made when 'replay batch' ends"
        )
    if missing := missing_tables(manifest):
        raise damaged(
            DatasetLayout(root).manifest, f"it names no file of {missing[0]!r}"
        )
    check_names(manifest, DatasetLayout(root).manifest)
    return Dataset(root, manifest)


def _open(root: Place, files: list[str], schema: pa.Schema) -> ds.Dataset:
    system, base = root.system()
    paths = [f"{base}/{file}" for file in files]
    with intact(root):
        told = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        return ds.dataset(
            paths,
            schema=schema,
            format=ds.ParquetFileFormat(default_fragment_scan_options=told),
            filesystem=system,
        )
