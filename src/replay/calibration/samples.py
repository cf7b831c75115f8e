"""Each request's size, place and time in the device, as a trace tells them."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.engine._service import Services
from replay.engine.columns import Columns
from replay.engine.setup import NOT_REPLAYED, Policy, ServiceModel
from replay.errors import ScenarioError
from replay.feed import parts
from replay.scenario.bind import Binding
from replay.trace.file import Trace
from replay.trace.schema import OP_CODES

#: What moves data, and so has a size that takes time.
OPS: Final = ("read", "write")


@dataclass(frozen=True, slots=True)
class Samples:
    """Completed reads and writes of one device, in the order of their issue.

    Attributes
    ----------
    device : str
        "254:32".
    op : ndarray of int8, shape (n,)
        Code of a read or a write.
    nbytes : ndarray of int64, shape (n,)
    random : ndarray of bool, shape (n,)
        It begins over 4,096 pages from where its cgroup's request before it ended.
    issue_ns, complete_ns : ndarray of int64, shape (n,)
    alone_ns : ndarray of int64, shape (n,)
        Recorded service, where one request is served at a time.
    parallel : bool
        Requests are served side by side; else one worker or lock serves them in turn.
    """

    device: str
    op: NDArray[np.int8]
    nbytes: NDArray[np.int64]
    random: NDArray[np.bool_]
    issue_ns: NDArray[np.int64]
    complete_ns: NDArray[np.int64]
    alone_ns: NDArray[np.int64]
    parallel: bool

    def depth(self) -> int:
        """Return the most requests that were ever between issue and completion."""
        done = np.sort(self.complete_ns)
        before = np.searchsorted(done, self.issue_ns, side="right")
        return int((np.arange(1, len(done) + 1) - before).max())

    def service_ns(self, parallel: int) -> NDArray[np.int64]:
        """Return each request's time in a device that serves so many at once.

        A request begins when it is issued, or when the last but ``parallel`` of all
        requests before it completes, counted, whichever that is.
        """
        if not self.parallel:
            return self.alone_ns
        begins = self.issue_ns.copy()
        done = np.sort(self.complete_ns)
        begins[parallel:] = np.maximum(begins[parallel:], done[:-parallel])
        begins = np.minimum(begins, self.complete_ns)
        return self.complete_ns - begins


def take_samples(trace: Trace, binding: Binding) -> Samples:
    """Read the samples of the one device that a scenario replays.

    Parameters
    ----------
    trace : Trace
    binding : Binding
        A scenario bound to it: how the trace was taken, and of which device.

    Returns
    -------
    Samples

    Raises
    ------
    ScenarioError
        More than one device, or nothing that was seen to complete.
    """
    if len(binding.device_names) != 1:
        raise ScenarioError(
            f"{trace.path}: has {' and '.join(binding.device_names)}: "
            "say which device to fit, as in --device 7:0"
        )
    setup = binding.setup
    # by one queue for all: what a request waited for others on the file is taken out
    alone = Services(
        replace(
            setup,
            service=ServiceModel.RECORDED,
            policy=Policy.ROOT,
            direct_io=setup.trace_direct_io,
        )
    )
    # the service of a random request is 1 ns, of another 0
    places = Services(
        replace(
            setup,
            service=ServiceModel.LINEAR,
            read_base_ns=0,
            read_ns_per_byte=0,
            read_random_ns=1,
            write_base_ns=0,
            write_ns_per_byte=0,
            write_random_ns=1,
        )
    )
    found = [
        _of_part(part.columns, alone, places) for part in parts(trace, binding, None)
    ]

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([values[name] for values in found])

    if not found or not len(joined("op")):
        raise ScenarioError(
            f"{trace.path}: no read or write of {binding.device_names[0]} was seen to "
            "complete: there is nothing to fit"
        )
    return Samples(
        device=binding.device_names[0],
        op=joined("op"),
        nbytes=joined("nbytes"),
        random=joined("random"),
        issue_ns=joined("issue_ns"),
        complete_ns=joined("complete_ns"),
        alone_ns=joined("alone_ns"),
        parallel=setup.trace_direct_io,
    )


def _of_part(
    columns: Columns, alone: Services, places: Services
) -> dict[str, NDArray[Any]]:
    """Return the samples of a batch."""
    is_random = np.empty(len(columns), np.int64)
    alone_ns = np.empty(len(columns), np.int64)
    places.fill(columns, is_random)
    alone.fill(columns, alone_ns)
    wanted = (columns.device != NOT_REPLAYED) & (columns.nbytes > 0)
    wanted &= (columns.issue_ns >= 0) & (columns.complete_ns >= columns.issue_ns)
    wanted &= np.isin(columns.op, [OP_CODES[op] for op in OPS])
    return {
        "op": columns.op[wanted],
        "nbytes": columns.nbytes[wanted].astype(np.int64),
        "random": is_random[wanted] > 0,
        "issue_ns": columns.issue_ns[wanted],
        "complete_ns": columns.complete_ns[wanted],
        "alone_ns": alone_ns[wanted],
    }
