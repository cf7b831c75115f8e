"""Which pages of a file stand on the disk: a read of a hole reads nothing below."""

from collections.abc import Iterable, Iterator
from typing import Final

WORD_SHIFT: Final = 12
WORD_PAGES: Final = 1 << WORD_SHIFT


class OnDisk:
    """Pages of one file.

    Parameters
    ----------
    laid_out : bool
        All of them are there from the start; otherwise what is written.
    """

    def __init__(self, *, laid_out: bool) -> None:
        self._laid_out = laid_out
        # bits of the pages that are not as all were at the start
        self._changed: dict[int, int] = {}

    def write(self, first: int, last: int) -> None:
        """Put pages there, `last` among them."""
        self._set(first, last, changed=not self._laid_out)

    def free(self, first: int, last: int) -> None:
        """Punch a hole from first to last."""
        self._set(first, last, changed=self._laid_out)

    def runs(self, first: int, last: int) -> Iterator[tuple[int, int, bool]]:
        """Yield pages that are alike: the first, how many, whether they are there."""
        for word in range(first >> WORD_SHIFT, (last >> WORD_SHIFT) + 1):
            start = word << WORD_SHIFT
            page = max(first, start)
            n_pages = min(last + 1, start + WORD_PAGES) - page
            bits = self._changed.get(word, 0) >> (page - start)
            while n_pages:
                changed = bool(bits & 1)
                # of those that are unlike it, the lowest
                others = (~bits if changed else bits) & ((1 << n_pages) - 1)
                alike = (others & -others).bit_length() - 1 if others else n_pages
                yield page, alike, changed != self._laid_out
                page += alike
                n_pages -= alike
                bits >>= alike

    def _set(self, first: int, last: int, *, changed: bool) -> None:
        low, high = first >> WORD_SHIFT, last >> WORD_SHIFT
        words: Iterable[int] = range(low, high + 1)
        if not changed and high - low > len(self._changed):
            # a discard may span more than the file has
            words = [word for word in self._changed if low <= word <= high]
        for word in words:
            start = word << WORD_SHIFT
            begin, end = max(first - start, 0), min(last - start, WORD_PAGES - 1)
            mask = (1 << (end + 1)) - (1 << begin)
            bits = self._changed.get(word, 0)
            bits = bits | mask if changed else bits & ~mask
            if bits:
                self._changed[word] = bits
            else:
                self._changed.pop(word, None)
