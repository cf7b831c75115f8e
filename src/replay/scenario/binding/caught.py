"""Counts of the rows that each rule of ``[[assign]]`` caught, or none did."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replay.engine.setup import NOT_REPLAYED
from replay.scenario.binding.assign import NO_RULE
from replay.scenario.binding.resolve import Resolved, column
from replay.scenario.keys.values import AssignValues
from replay.trace.file.schema import device_text

if TYPE_CHECKING:
    import pyarrow as pa


class Caught:
    """Counts of replayed rows and their bytes by the rule that said whose they are.

    Every replayed row is counted once: under its rule, else as keeping the trace's
    cgroup id, else as the root's for want of one.

    Parameters
    ----------
    rules : sequence of AssignValues
        In order.
    """

    def __init__(self, rules: Sequence[AssignValues]) -> None:
        self._rules = rules
        # the rules, then what kept its id, then what had none
        self._counts: NDArray[np.int64] = np.zeros((2, len(rules) + 2), dtype=np.int64)

    def add(self, batch: "pa.RecordBatch", resolved: Resolved) -> None:
        """Count a batch.

        Parameters
        ----------
        batch : RecordBatch
            With the columns of ``TRACE_SCHEMA``.
        resolved : Resolved
            The same rows.
        """
        n_rules = len(self._rules)
        rule = resolved.rule
        if rule is None:
            rule = np.full(batch.num_rows, NO_RULE, dtype=np.int32)
        no_id = column(batch, "cgroup", np.uint64) == 0
        place = np.where(rule == NO_RULE, n_rules + no_id, rule)
        replayed = resolved.device_idx != NOT_REPLAYED
        place = place[replayed]
        self._counts[0] += np.bincount(place, minlength=n_rules + 2)
        # bincount would add in floating point
        nbytes = column(batch, "nbytes", np.uint32)[replayed]
        np.add.at(self._counts[1], place, nbytes.astype(np.int64))

    def report(self) -> dict[str, Any]:
        """Say what was counted.

        Returns
        -------
        dict
            ``rules``, in order, each with its keys, ``requests`` and ``bytes``;
            ``kept`` and ``root`` with ``requests`` and ``bytes``: what kept the
            trace's cgroup and what went to the root.
        """
        counts = [
            {"requests": int(requests), "bytes": int(nbytes)}
            for requests, nbytes in self._counts.T
        ]
        *by_rule, kept, root = counts
        rules = [
            {
                "pid": rule.pid,
                "comm": rule.comm,
                "device": None if rule.device is None else device_text(rule.device),
                "volume": rule.volume,
                "cgroup": rule.cgroup,
                **count,
            }
            for rule, count in zip(self._rules, by_rule, strict=True)
        ]
        return {"rules": rules, "kept": kept, "root": root}
