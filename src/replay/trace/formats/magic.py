"""The first bytes of blktrace's records: no other format begins so."""

from typing import Final

BLKTRACE: Final = "blktrace"
_MAGICS: Final = frozenset(
    magic.to_bytes(4, order)
    for magic in (0x65617407, 0x65617408)
    for order in ("little", "big")
)


def is_blktrace(head: bytes) -> bool:
    """Tell records of blktrace by the first one's magic."""
    return head[:4] in _MAGICS
