"""Sizes as the kernel reads them from interface files and mount options."""

import re
from typing import Final

from replay.engine.setup import NO_LIMIT, PAGE_BYTES

#: The kernel keeps a limit in pages of a signed long; from here on it means no limit.
PAGE_COUNTER_MAX: Final = (2**63 - 1) // PAGE_BYTES

_UNITS: Final = "KMGTPE"
# Digits as simple_strtoull() takes them with base 0: hexadecimal, octal or decimal.
_SIZE: Final = re.compile(
    r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<oct>[0-7]*)|(?P<dec>[1-9][0-9]*))"
    r"(?P<unit>[KMGTPEkmgtpe]?)"
)


def parse_size(text: str) -> int:
    """Parse a size as ``memparse`` does.

    Parameters
    ----------
    text : str
        Decimal, octal (leading 0) or hexadecimal (0x) digits and one of K M G T P E,
        in either case; blanks around it are dropped.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    ValueError
        It is not such a size, or 2**64 and more (where the kernel would wrap around).

    Notes
    -----
    Source: lib/cmdline.c, memparse(), v6.1.
    """
    match = _SIZE.fullmatch(text.strip()) if len(text) <= 64 else None
    if match is None:
        raise ValueError("is not a size such as 65536, 64K, 64M, 1G")
    if match["hex"]:
        number = int(match["hex"], 16)
    elif match["dec"]:
        number = int(match["dec"])
    else:
        number = int(match["oct"] or "0", 8)
    if match["unit"]:
        number <<= 10 * (_UNITS.index(match["unit"].upper()) + 1)
    if number >= 1 << 64:
        raise ValueError("is larger than a 64-bit number of bytes")
    return number


def rate_text(text: str) -> str:
    """Write a rate with a suffix in digits, as an interface file has it.

    Parameters
    ----------
    text : str
        Decimal digits, no leading 0, and one of K M G T P E in either case: ``4M``.

    Returns
    -------
    str
        Bytes a second. The kernel's ``io.max`` itself would read ``4M`` as 4.

    Raises
    ------
    ValueError
        It is not such a rate, or 2**64 and more.

    Notes
    -----
    Source: block/blk-throttle.c, tg_set_limit(), v6.1 (its sscanf).
    """
    if not re.fullmatch(r"[1-9][0-9]{0,19}[KMGTPEkmgtpe]", text):
        raise ValueError("is not a rate such as 4194304, 4096K, 4M")
    return str(parse_size(text))


def format_size(nbytes: int | None) -> str:
    """Write a size the short way.

    Parameters
    ----------
    nbytes : int or None
        Bytes; None is ``max``.

    Returns
    -------
    str
        What `parse_size` reads back exactly, for example ``"64M"``.
    """
    if nbytes is None:
        return "max"
    power = 0
    while nbytes and nbytes % 1024 == 0 and power < len(_UNITS):
        nbytes //= 1024
        power += 1
    return f"{nbytes}{_UNITS[power - 1] if power else ''}"


def limit_pages(nbytes: int | None) -> int:
    """Turn a limit in bytes into the pages that the kernel keeps.

    Parameters
    ----------
    nbytes : int or None
        Bytes; None is ``max``.

    Returns
    -------
    int
        Whole pages, rounded down; `NO_LIMIT` for ``max`` or beyond any machine.

    Notes
    -----
    Source: mm/page_counter.c, page_counter_memparse(), v6.1.
    """
    return _pages(nbytes, 0)


def whole_pages(nbytes: int | None) -> int:
    """Turn bytes into the pages that hold them.

    Parameters
    ----------
    nbytes : int or None
        Bytes; None is ``max``.

    Returns
    -------
    int
        Pages, rounded up as tmpfs does with its ``size``; `NO_LIMIT` for ``max``.

    Notes
    -----
    Source: mm/shmem.c, shmem_parse_one(), v6.1.
    """
    return _pages(nbytes, PAGE_BYTES - 1)


def _pages(nbytes: int | None, more: int) -> int:
    """Divide, with so many bytes more; what is beyond any machine is no limit."""
    if nbytes is None or nbytes // PAGE_BYTES >= PAGE_COUNTER_MAX:
        return NO_LIMIT
    return (nbytes + more) // PAGE_BYTES
