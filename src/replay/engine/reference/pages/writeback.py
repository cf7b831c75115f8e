"""Write-back of dirty page cache: when, and in whose name.

Sources: fs/fs-writeback.c:wbc_account_cgroup_owner(), wbc_detach_inode(),
writeback_chunk_size(), mm/page-writeback.c, v6.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from replay.engine.reference.pages.reclaim import Page
from replay.engine.reference.state.split_counts import begins_part

#: Pages of one round of the flusher: half of what a disk of 100 MB/s writes in a
#: second (INIT_BW, the first guess of every disk's speed), in steps of 4 MiB.
CHUNK_PAGES = 13_312
#: Pages a second of that guess.
BANDWIDTH = 25_600
#: WB_FRN_TIME_SHIFT, _AVG_SHIFT, _CUT_DIV, WB_FRN_HIST_UNIT, _MAX_SLOTS, _THR_SLOTS.
TIME_SHIFT, AVERAGE_SHIFT, CUT, SLOT, MOST_SLOTS, SWITCH = 13, 3, 8, 1024, 5, 8
HISTORY_MASK = 0xFFFF
NOBODY = -1


@dataclass(slots=True)
class Owner:
    """In whose name an inode is written back, and who has lately dirtied it instead.

    `memory` is the memory cgroup; the I/O is its block cgroup's.
    """

    memory: int = NOBODY
    winner: int = NOBODY
    average: int = 0
    history: int = 0

    def account(self, pages: Sequence[Page]) -> None:
        """Take a round of write-back into account; it may switch the owner.

        The majority of the round's pages (by Boyer and Moore) against the owner: who
        is foreign in more than 8 of the last 16 slots of an eighth of a second of I/O
        becomes the owner. A round shifts in 5 slots at most; one below an eighth of
        the average counts for nothing.
        """
        own = last = candidate = 0
        candidate_id = NOBODY
        for page in pages:
            if page.owner == self.memory:
                own += 1
                continue
            if page.owner == self.winner:
                last += 1
            if not candidate:
                candidate_id = page.owner
            if page.owner == candidate_id:
                candidate += 1
            elif candidate:
                candidate -= 1
        if own >= last and own >= candidate:
            winner, most = self.memory, own
        elif last >= candidate:
            winner, most = self.winner, last
        else:
            winner, most = candidate_id, candidate
        time = -(-(most << TIME_SHIFT) // BANDWIDTH)
        average = time
        if self.average:
            average = self.average + (time >> AVERAGE_SHIFT)
            average -= self.average >> AVERAGE_SHIFT
        self.winner = winner
        self.average = min(average, 0xFFFF)
        if time >= average // CUT:
            slots = min(-(-time // SLOT), MOST_SLOTS)
            self.history = self.history << slots & HISTORY_MASK
            if winner != self.memory:
                self.history |= (1 << slots) - 1
            if self.history.bit_count() > SWITCH:
                self.memory = winner
                self.winner, self.average, self.history = NOBODY, 0, 0


def n_bios(pages: Sequence[int], max_sectors: int) -> int:
    """Return the bios that write sorted pages: one a run, or more if it is long."""
    bios = length = 0
    for i, page in enumerate(pages):
        length = length + 1 if i and pages[i - 1] == page - 1 else 1
        bios += begins_part(length, max_sectors)
    return bios
