"""Text that is safe to print. Imports nothing: errors are needed before all else."""


def plain(text: str) -> str:
    r"""Make a name from a trace safe to print.

    A process may be called what it likes; control characters are shown as ``\x1b``
    and do not reach the terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
