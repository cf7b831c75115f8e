"""The version, in one place; the build reads it without importing the package."""

from typing import Final

DISTRIBUTION: Final = "cgroup-replay"
VERSION: Final = "0.1.0"
#: Stands in every file that this version writes.
WRITER: Final = f"{DISTRIBUTION} {VERSION}"
