"""Whether a command's worker only submits it."""

from replay.engine.setup import Policy
from replay.trace.file.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]


def is_asynchronous(op: int, direct_io: bool, policy: Policy, is_loop: bool) -> bool:
    """Return True if the worker only submits a command.

    Source: drivers/block/loop.c:loop_queue_rq(), v6.1: reads and writes with direct
    I/O; a flush or discard is always synchronous. A bio-based device passes all on:
    drivers/md/dm.c:dm_submit_bio(), v6.1. Drivers of other devices wait for nothing.
    """
    passes = policy == Policy.PASS_THROUGH or not is_loop
    return direct_io and (op in (READ, WRITE) or passes)
