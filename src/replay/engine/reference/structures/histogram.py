"""Log-linear histograms: 64 buckets an octave, exact below 64."""

from collections import Counter

SUB_BITS = 6
SUB = 1 << SUB_BITS


def bucket_of(value: int) -> int:
    """Return the bucket of a value >= 0; buckets are in the order of their values."""
    if value < SUB:
        return value
    octave = value.bit_length() - 1
    return (octave - SUB_BITS + 1) * SUB + ((value >> (octave - SUB_BITS)) - SUB)


def bounds_of(bucket: int) -> tuple[int, int]:
    """Return the least and the largest value of a bucket."""
    if bucket < SUB:
        return bucket, bucket
    shift = bucket // SUB - 1
    low = (SUB + bucket % SUB) << shift
    return low, low + (1 << shift) - 1


def midpoint_of(bucket: int) -> int:
    """Return the value that stands for a bucket: the middle of its range."""
    low, high = bounds_of(bucket)
    return (low + high) // 2


class Histogram:
    """Counts of values in ns."""

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.count = 0
        self.sum = 0
        self.min = 0
        self.max = 0

    def add(self, value: int) -> None:
        """Count one value."""
        self.min = value if self.count == 0 else min(self.min, value)
        self.max = max(self.max, value)
        self.buckets[bucket_of(value)] += 1
        self.count += 1
        self.sum += value

    def percentile(self, thousandths: int) -> int:
        """Return the midpoint of the bucket of the nearest rank."""
        rank = (self.count * thousandths + 999) // 1000
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return midpoint_of(bucket)
        raise AssertionError("a histogram without values has no percentile")
