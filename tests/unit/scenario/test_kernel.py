from pathlib import Path

import pytest

from replay.scenario.docs import kernels as docs
from replay.scenario.keys.kernel import is_loop, kernel_in, parse_kernel
from replay.scenario.keys.kernel_rules import (
    HOLES_READ_FREE,
    REQUEST_AT_ONCE,
    RULES,
    policy_of,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("6.1", (6, 1, 0)),
        ("6.10", (6, 10, 0)),
        ("6.12.117", (6, 12, 117)),
        (" 5.4.302 ", (5, 4, 302)),
    ],
)
def test_version_is_read_as_numbers(text: str, version: tuple[int, int, int]) -> None:
    assert parse_kernel(text)[:3] == version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("7.3.4+deb13-cloud-amd64", (7, 3, 4, "+deb13-cloud-amd64")),
        ("5.15.0-91-generic", (5, 15, 0, "-91-generic")),
        ("6.1.0-56-cloud-amd64", (6, 1, 0, "-56-cloud-amd64")),
        ("5.14.0-427.13.1.el9_4.x86_64", (5, 14, 0, "-427.13.1.el9_4.x86_64")),
        ("6.18-rc3", (6, 18, 0, "-rc3")),
        ("el9", (5, 14, 0, "-el9")),
        ("rhel10", (6, 12, 0, "-el10")),
    ],
)
def test_version_is_read_as_distributions_write_it(
    text: str, version: tuple[int, int, int, str]
) -> None:
    kernel = parse_kernel(text)
    assert kernel == version
    # AND written so that it is read again
    assert parse_kernel(str(kernel)) == kernel


def test_kernel_is_found_in_what_uname_says() -> None:
    said = "Linux vm 6.12.117+deb13-cloud-amd64 #1 SMP Debian x86_64 GNU/Linux"
    assert str(kernel_in(said)) == "6.12.117+deb13-cloud-amd64"
    assert kernel_in("") is None
    assert kernel_in("a kernel") is None


def test_kernel_of_a_distribution_that_takes_later_changes_is_uncertain() -> None:
    kernel = parse_kernel("5.14.0-427.13.1.el9_4.x86_64")
    assert kernel.takes_later_changes
    assert HOLES_READ_FREE.is_uncertain(kernel)
    assert not parse_kernel("5.14.0-1-amd64").takes_later_changes


def test_driver_is_one_thread_before_5_14() -> None:
    assert policy_of(parse_kernel("5.13.19")) == "root"
    assert policy_of(parse_kernel("5.14")) == "per-cgroup"


def test_rules_lie_within_their_bounds_and_have_one_name_each() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.absent < rule.since <= rule.present, rule.name


def test_page_of_kernels_is_made_of_the_table() -> None:
    """`python -m replay.scenario.docs.kernels > docs/kernels.md` makes it so."""
    assert (ROOT / "docs/kernels.md").read_text() == docs.document()


@pytest.mark.parametrize("text", ["6", "v6.1", "6.1 2", "6.1/2", "six", ""])
def test_what_is_not_a_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a kernel version"):
        parse_kernel(text)


def test_enterprise_release_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="el8, el9 and el10"):
        parse_kernel("el7")


def test_version_is_written_without_a_patch_level_of_zero() -> None:
    assert str(parse_kernel("6.1.0")) == "6.1"
    assert str(parse_kernel("6.12.117")) == "6.12.117"


@pytest.mark.parametrize(
    ("text", "at_once", "uncertain"),
    [
        ("6.1", False, False),
        ("6.1.192", False, False),
        ("6.12", False, False),
        ("6.12.116", False, True),
        ("6.12.117", True, False),
        ("6.12.200", True, False),
        ("6.13.117", False, False),
        ("6.14", False, False),
        ("6.14.5", False, True),
        ("6.15", True, False),
        ("6.18.3", True, False),
        ("7.0", True, False),
    ],
)
def test_request_is_one_write_call_since_6_15_and_6_12_117(
    text: str, at_once: bool, uncertain: bool
) -> None:
    version = parse_kernel(text)
    assert REQUEST_AT_ONCE.holds(version) is at_once
    assert REQUEST_AT_ONCE.is_uncertain(version) is uncertain


def test_hole_reads_were_charged_before_5_18() -> None:
    assert not HOLES_READ_FREE.holds(parse_kernel("5.17.15"))
    assert HOLES_READ_FREE.holds(parse_kernel("5.18"))


def test_loop_device_is_told_by_its_major() -> None:
    assert is_loop(7 << 20 | 3)
    assert not is_loop(8 << 20 | 7)
