"""A row of the trace as the driver sees it: its time, and whether it arrives."""

from replay.engine.columns import Columns
from replay.engine.setup import ArrivalEvent, Policy, Setup
from replay.trace.file.schema import OP_CODES

FLUSH = OP_CODES["flush"]
#: The end of sectors whose pages can be told apart; no disk has as many.
MAX_SECTORS = 1 << 60


def arrival_of(setup: Setup, columns: Columns, i: int) -> int:
    """Return when a row arrives: at its issue or its queueing, or what was seen."""
    queue, issue = int(columns.queue_ns[i]), int(columns.issue_ns[i])
    if setup.event != ArrivalEvent.QUEUE:
        return issue if issue >= 0 else queue
    return queue if queue >= 0 else issue


def prior_of(setup: Setup, columns: Columns, i: int) -> int:
    """Return what a row waited from its queueing to its last issue, as recorded."""
    queue, issue = int(columns.queue_ns[i]), int(columns.issue_ns[i])
    if setup.event != ArrivalEvent.AS_QUEUED or queue < 0:
        return 0
    return max(0, issue - queue)


def is_trigger(setup: Setup, columns: Columns, i: int) -> bool:
    """Return True for an empty flush bio: the driver sees another request for it.

    Source: block/blk-flush.c, v6.1: the flush that is issued has no bio (``n_bios`` 0).
    A bio-based device has no flush machinery: it gets the bio.
    """
    return bool(
        columns.op[i] == FLUSH
        and columns.n_bios[i] > 0
        and columns.issue_ns[i] < 0
        and setup.policy != Policy.PASS_THROUGH
    )


def enters_driver(setup: Setup, columns: Columns, i: int) -> bool:
    """Return True if the driver sees a row: it was issued, or did complete."""
    if is_trigger(setup, columns, i):
        return False
    if setup.event == ArrivalEvent.QUEUE:
        return True
    return bool(columns.issue_ns[i] >= 0 or columns.complete_ns[i] >= 0)


def beyond_files(setup: Setup, columns: Columns, i: int) -> bool:
    """Return True if a row touches pages that the model cannot tell apart."""
    touches = not setup.direct_io and setup.cached
    nbytes = int(columns.nbytes[i])
    end = int(columns.sector[i]) + (nbytes + 511) // 512
    return touches and nbytes > 0 and end > MAX_SECTORS
