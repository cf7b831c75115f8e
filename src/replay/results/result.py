"""A result in the hand: its tables and how they came about."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from replay.common.shown import Shown
from replay.common.text import json_text


@dataclass(frozen=True, slots=True, repr=False)
class Result(Shown):
    """What a replay found.

    Attributes
    ----------
    tables : mapping of str to pyarrow.Table
        Every table by its name; see ``docs/tables.md``. Those of a result on disk are
        read when they are first asked for.
    info : dict
        The content of ``run.json``: versions, effective scenario, trace identity,
        quality, notes, counts, workers_peak, timings, rate.
    """

    tables: Mapping[str, pa.Table]
    info: dict[str, Any]

    @property
    def charges(self) -> pa.Table:
        """Who caused which I/O, and who was charged for it."""
        return self.tables["charges"]

    @property
    def io_stat(self) -> pa.Table:
        """I/O of each cgroup with its descendants, as the kernel's ``io.stat``."""
        return self.tables["io_stat"]

    @property
    def memory(self) -> pa.Table:
        """Memory of each cgroup, as ``memory.stat`` and ``memory.events``."""
        return self.tables["memory"]

    @property
    def latency(self) -> pa.Table:
        """How long requests took, by cgroup, device, operation and stage."""
        return self.tables["latency"]

    @property
    def histograms(self) -> pa.Table:
        """The buckets that the percentiles of `latency` are taken from."""
        return self.tables["histograms"]

    @property
    def interference(self) -> pa.Table:
        """Who waited behind whom, and for what."""
        return self.tables["interference"]

    @property
    def workers(self) -> pa.Table:
        """The life of every worker."""
        return self.tables["workers"]

    @property
    def kills(self) -> pa.Table:
        """Tasks that the OOM killer ended."""
        return self.tables["kills"]

    @property
    def errors(self) -> pa.Table:
        """Requests that failed, by cgroup and errno."""
        return self.tables["errors"]

    @property
    def timeline(self) -> pa.Table | None:
        """What each cgroup paid, held and waited when; None if it was not asked for."""
        return self.tables.get("timeline")

    @property
    def requests(self) -> pa.Table | None:
        """Every request, if the run was asked for them; None if not."""
        return self.tables.get("requests")

    def by_kind(self) -> list[dict[str, Any]] | None:
        """Sum requests up by issuer, payer and kind: data, metadata, journal, flush.

        Returns
        -------
        list of dict, or None
            None if the run was not asked for its requests, or is of an earlier version.
        """
        from replay.results.kinds import by_kind

        if self.requests is None or "kind" not in self.requests.column_names:
            return None
        return by_kind(self.requests)

    def shares(self) -> list[dict[str, Any]] | None:
        """Share what the device did while all cgroups wanted more of it.

        Returns
        -------
        list of dict, or None
            None if the run was not asked for its requests.
        """
        from replay.results.shares import shares

        return None if self.requests is None else shares(self.requests)

    def write(self, outdir: str | Path, *, overwrite: bool = False) -> None:
        """Write the result as a directory of Parquet files and ``run.json``.

        Parameters
        ----------
        outdir : str or Path
            Its parent must exist. Nothing is seen there until all is written.
        overwrite : bool
            Replace the result that is there.

        Raises
        ------
        OutputError
            ``outdir`` exists, holds something else than a result, or cannot be
            written.
        """
        from replay.results.write import write_tables

        write_tables(self.tables, self.info, Path(outdir), overwrite=overwrite)

    def summary(self) -> str:
        """Say who paid for whom, who waited behind whom and who was killed.

        Returns
        -------
        str
            Plain text, 80 columns. ``rich.print(result)`` shows it in colour.
        """
        return self.text()

    def to_json(self) -> str:
        """Say all of it but requests and histograms in JSON.

        Returns
        -------
        str
            ``{"run": info, "tables": {name: [row, ...]}}``.
        """
        names = [n for n in self.tables if n not in ("requests", "histograms")]
        tables = {name: self.tables[name].to_pylist() for name in names}
        return json_text({"run": self.info, "tables": tables})

    def __repr__(self) -> str:
        counts = self.info["counts"]
        return (
            f"<Result of {self.info['trace']['path']}: {counts['requests']:,} "
            f"requests, {self.kills.num_rows} kills>"
        )
