"""A file system on the traced device: its journal aborts, and it turns read-only.

Source: fs/jbd2/journal.c:jbd2_journal_abort(), fs/ext4/ext4_jbd2.c:
ext4_journal_check_start(), v6.1.
"""

import errno

from replay.engine.reference.counting.charges import Tables
from replay.engine.reference.state.requests import Request
from replay.trace.file.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]


class Journals:
    """When each device's file system turned read-only."""

    def __init__(self, out: Tables, *, journaled: bool) -> None:
        self.out = out
        self.journaled = journaled
        self.aborted_ns: dict[int, int] = {}

    def ended(self, request: Request, now: int) -> None:
        """Abort the device's journal if a write with META failed."""
        fails = request.error and request.is_meta and request.op == WRITE
        if self.journaled and fails:
            self.aborted_ns.setdefault(request.device, now)

    def stops(
        self, device: int, op: int, issuer: int, nbytes: int, queue_ns: int
    ) -> bool:
        """Return True if a request is not queued since its file system is read-only.

        It is counted as a failure with EROFS.
        """
        aborted_ns = self.aborted_ns.get(device)
        if op == READ or aborted_ns is None or aborted_ns >= queue_ns:
            return False
        self.out.fails(issuer, errno.EROFS, nbytes, queue_ns)
        self.out.counts["read_only"] += 1
        return True
