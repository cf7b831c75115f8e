import pytest

from replay.scenario.keys.kernel import is_loop, parse_kernel


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
    assert parse_kernel(text) == version


@pytest.mark.parametrize("text", ["6", "6.1.0-56-amd64", "v6.1", "6.1.", "6.1.2.3", ""])
def test_what_is_not_a_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a kernel version"):
        parse_kernel(text)


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
    assert version.request_at_once is at_once
    assert version.is_uncertain is uncertain


def test_hole_reads_were_charged_before_5_18() -> None:
    assert parse_kernel("5.17.15").charges_hole_reads
    assert not parse_kernel("5.18").charges_hole_reads


def test_loop_device_is_told_by_its_major() -> None:
    assert is_loop(7 << 20 | 3)
    assert not is_loop(8 << 20 | 7)
