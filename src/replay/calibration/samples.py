"""Each request's size, place and time in the device, as a trace tells them."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from replay.common.closing import Closing
from replay.common.errors import ScenarioError
from replay.common.temporary import temporary_file
from replay.engine._service import Services
from replay.engine.setup import NOT_REPLAYED, Policy, ServiceModel
from replay.runner.feed import FedRows, Settling, parts
from replay.scenario.bind import Binding
from replay.trace.file.read import Trace
from replay.trace.file.schema import OP_CODES
from replay.trace.file.spill import cannot_write

#: What moves data, and so has a size that takes time.
OPS: Final = ("read", "write")
#: Samples that are looked at at a time.
PIECE: Final = 1 << 16

_TYPES: Final[dict[str, type[np.generic]]] = {
    "op": np.int8,
    "nbytes": np.int64,
    "random": np.bool_,
    "issue_ns": np.int64,
    "complete_ns": np.int64,
    "alone_ns": np.int64,
    # in the end in the order of time
    "done_ns": np.int64,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples that follow each other.

    Attributes
    ----------
    op : ndarray of int8, shape (n,)
        Code of a read or a write.
    nbytes : ndarray of int64, shape (n,)
    random : ndarray of bool, shape (n,)
        It begins over 4,096 pages from where its cgroup's request before it ended.
    issue_ns, complete_ns : ndarray of int64, shape (n,)
    service_ns : ndarray of int64, shape (n,)
        Time in the device.
    """

    op: NDArray[np.int8]
    nbytes: NDArray[np.int64]
    random: NDArray[np.bool_]
    issue_ns: NDArray[np.int64]
    complete_ns: NDArray[np.int64]
    service_ns: NDArray[np.int64]


class DeviceSamples(Closing):
    """Completed reads and writes of one device, in the order of their issue.

    They lie in temporary files: about 40 bytes each, whose pages the kernel may take
    back. A context manager: at its end they are gone.

    Parameters
    ----------
    device : str
        "254:32".
    parallel : bool
        Requests are served side by side; else one worker or lock serves them in turn.
    """

    def __init__(self, device: str, *, parallel: bool) -> None:
        self.device = device
        self.parallel = parallel
        with ExitStack() as stack:
            self._files = {
                name: stack.enter_context(temporary_file()) for name in _TYPES
            }
            self._stack = stack.pop_all()
        self._columns: dict[str, NDArray[Any]] = {}

    def add(self, **columns: NDArray[Any]) -> None:
        """Take samples: all columns but ``done_ns``."""
        for name, values in (*columns.items(), ("done_ns", columns["complete_ns"])):
            self._files[name].write(values.astype(_TYPES[name]).data)

    def finish(self) -> None:
        """Make them ready to be looked at."""
        for name, file in self._files.items():
            file.flush()
            kind = np.dtype(_TYPES[name])
            n = file.tell() // kind.itemsize
            self._columns[name] = (
                np.memmap(file, kind, "r+", shape=(n,)) if n else np.empty(0, kind)
            )
        self._columns["done_ns"].sort()

    def close(self) -> None:
        """Forget them."""
        self._columns.clear()
        self._stack.close()

    def __len__(self) -> int:
        return len(self._columns["op"])

    def depth(self) -> int:
        """Return the most requests that were ever between issue and completion."""
        issue, done = self._columns["issue_ns"], self._columns["done_ns"]
        most = 0
        for start in range(0, len(self), PIECE):
            end = min(start + PIECE, len(self))
            before = np.searchsorted(done, issue[start:end], side="right")
            most = max(most, int((np.arange(start + 1, end + 1) - before).max()))
        return most

    def pieces(self, parallel: int) -> Iterator[Piece]:
        """Go through them, with their time in a device that serves so many at once.

        A request begins when it is issued, or when the last but ``parallel`` of all
        requests before it completes, counted, whichever that is.

        Parameters
        ----------
        parallel : int
            At least 1; of no effect where they are served in turn.

        Yields
        ------
        Piece
        """
        done = self._columns["done_ns"]
        for start in range(0, len(self), PIECE):
            at = {
                name: np.asarray(values[start : start + PIECE])
                for name, values in self._columns.items()
                if name not in ("alone_ns", "done_ns")
            }
            issue, complete = at["issue_ns"], at["complete_ns"]
            if self.parallel:
                begins = issue.copy()
                # the first ones find a place
                free = min(max(parallel - start, 0), len(begins))
                first = start + free - parallel
                before = done[first : first + len(begins) - free]
                begins[free:] = np.maximum(begins[free:], before)
                service_ns = complete - np.minimum(begins, complete)
            else:
                alone = self._columns["alone_ns"]
                service_ns = np.asarray(alone[start : start + PIECE])
            yield Piece(**at, service_ns=service_ns)


def take_samples(trace: Trace, binding: Binding) -> DeviceSamples:
    """Read the samples of the one device that a scenario replays.

    Parameters
    ----------
    trace : Trace
    binding : Binding
        A scenario bound to it: how the trace was taken, and of which device.

    Returns
    -------
    DeviceSamples
        To be closed.

    Raises
    ------
    ScenarioError
        More than one device, or nothing that was seen to complete.
    OutputError
        A temporary file cannot be written.
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
    with ExitStack() as stack:
        try:
            samples = DeviceSamples(
                binding.device_names[0], parallel=setup.trace_direct_io
            )
            stack.enter_context(samples)
            for part in _parts(trace, binding, alone):
                samples.add(**_of_part(part, places))
            samples.finish()
        except OSError as error:
            raise cannot_write(error) from error
        if not len(samples):
            raise ScenarioError(
                f"{trace.path}: no read or write of {binding.device_names[0]} was seen "
                "to complete: there is nothing to fit"
            )
        stack.pop_all()
    return samples


def _parts(trace: Trace, binding: Binding, alone: Services) -> Iterator[FedRows]:
    """Go through rows with the service that each has alone."""
    settling = Settling(alone)
    for part in parts(trace, binding, PIECE):
        yield from settling.add(part.columns)
    yield from settling.end()


def _of_part(part: FedRows, places: Services) -> dict[str, NDArray[Any]]:
    """Return the samples of a batch."""
    columns, alone_ns = part.columns, part.service_ns
    is_random = np.empty(len(columns), np.int64)
    places.fill(columns, is_random)
    wanted = (columns.device != NOT_REPLAYED) & (columns.nbytes > 0)
    wanted &= (columns.issue_ns >= 0) & (columns.complete_ns >= columns.issue_ns)
    wanted &= np.isin(columns.op, [OP_CODES[op] for op in OPS])
    return {
        "op": columns.op[wanted],
        "nbytes": columns.nbytes[wanted],
        "random": is_random[wanted] > 0,
        "issue_ns": columns.issue_ns[wanted],
        "complete_ns": columns.complete_ns[wanted],
        "alone_ns": alone_ns[wanted],
    }
