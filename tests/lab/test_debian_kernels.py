"""Which kernels of Debian the lab takes; nothing is downloaded."""

import re

import pytest

from lab.debian_kernels import SUITES, mirror_of, newest_first

LINES = "deb https://mirror.example/pub/debian/ bookworm main\n"
PARAGRAPH = """\
Types: deb
# http://old.example/archive/debian
URIs: http://mirror.example/debian
Suites: bookworm
"""


@pytest.mark.parametrize(
    ("sources", "mirror"),
    [
        (LINES, "https://mirror.example/pub/debian"),
        (PARAGRAPH, "http://mirror.example/debian"),
        (f"deb http://other.example/apt stable main\n{LINES}", None),
    ],
)
def test_mirror_is_the_hosts_own(sources: str, mirror: str | None) -> None:
    assert mirror_of(sources) == (mirror or "https://mirror.example/pub/debian")


def test_sources_without_debian_are_told() -> None:
    with pytest.raises(RuntimeError, match="name no mirror"):
        mirror_of("deb http://other.example/debian-security bookworm main\n")


def test_newest_is_by_number_and_not_by_letter() -> None:
    names = [f"linux-image-6.12.{n}+deb13-cloud-amd64" for n in (9, 117, 20)]
    assert newest_first(names)[0] == names[1]
    (pattern,) = SUITES["6.12"][1]
    assert all(re.fullmatch(pattern, name) for name in names)
    assert not re.fullmatch(pattern, "linux-image-6.12.9+deb13-amd64")
