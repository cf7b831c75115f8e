"""The version, in one place; the build reads it without importing the package."""

from typing import Final

DISTRIBUTION: Final = "cgroup-replay"
VERSION: Final = "0.2.0"
#: Of what is answered: it is raised with the release in which decoding, pairing or a
#: modelled rule changes an answer, and with no other (1: 0.1.0). A dataset keeps what
#: the same one made. `tests/fidelity/test_answers.py` holds answers against it.
MODEL_VERSION: Final = 2
#: Stands in every file that this version writes.
WRITER: Final = f"{DISTRIBUTION} {VERSION}"
