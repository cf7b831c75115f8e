"""Work that is known to take long is said before it is begun."""

import warnings


class HugeWorkWarning(UserWarning):
    """A warning: this takes minutes or more; it can be interrupted."""


def say_huge(text: str) -> None:
    """Warn of work that takes long."""
    warnings.warn(f"{text}; Ctrl-C stops it", HugeWorkWarning, stacklevel=2)
