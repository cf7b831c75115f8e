"""A number that a kernel counted and a replay found, and how far off it may be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """The allowed distance of a replay's number from the kernel's.

    Attributes
    ----------
    text : str
    low, high : float
        Least and largest value that is allowed.
    in_counts : bool
        It is of how many, and not of what part: of three, one is no matter of per cent.
    """

    text: str
    low: float
    high: float
    in_counts: bool = False


def exact(kernel: float) -> Bound:
    """Allow the kernel's number alone."""
    return Bound("exact", kernel, kernel)


def within(kernel: float, part: float) -> Bound:
    """Allow so large a part of the kernel's number more or less."""
    off = abs(kernel) * part
    return Bound(f"{part * 100:g} %", kernel - off, kernel + off)


def off_by(kernel: float, most: float) -> Bound:
    """Allow so much more or less."""
    return Bound(f"± {most:g}", kernel - most, kernel + most, in_counts=True)


def factor(kernel: float, by: float) -> Bound:
    """Allow a factor up or down."""
    return Bound(f"factor {by:g}", kernel / by, kernel * by)


def around(low: float, high: float, part: float, unit: str) -> Bound:
    """Allow what the kernel's own runs gave, and so large a part beyond."""
    text = f"{part * 100:g} % of {low:g} to {high:g} {unit}"
    return Bound(text, low * (1 - part), high * (1 + part))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report.

    Attributes
    ----------
    replayed : str
        Recording that was replayed.
    counted : str
        Recording in which the kernel counted.
    what : str
    unit : str
    kernel, found : float
    bound : Bound
    """

    replayed: str
    counted: str
    what: str
    unit: str
    kernel: float
    found: float
    bound: Bound

    @property
    def holds(self) -> bool:
        """Whether the replay is as near as it must be."""
        return self.bound.low <= self.found <= self.bound.high

    @property
    def off(self) -> str:
        """By how much it is off."""
        if self.found == self.kernel:
            return "0"
        if not self.kernel or self.bound.in_counts:
            return f"{self.found - self.kernel:+g}"
        return f"{self.found / self.kernel - 1:+.2%}"

    @property
    def distance(self) -> float:
        """Its distance, to be ranked among rows of one bound."""
        whole = 1 if self.bound.in_counts or not self.kernel else abs(self.kernel)
        return abs(self.found - self.kernel) / whole
