import pytest

from replay.engine.setup import NO_LIMIT
from replay.scenario.keys.sizes import (
    format_size,
    limit_pages,
    parse_size,
    rate_text,
    whole_pages,
)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("0", 0),
        ("4096", 4096),
        (" 64M\n", 64 << 20),
        ("64m", 64 << 20),
        ("1K", 1 << 10),
        ("3g", 3 << 30),
        ("2T", 2 << 40),
        ("1P", 1 << 50),
        ("15E", 15 << 60),
        ("0x10", 16),
        ("0X1fK", 31 << 10),
        # E is a digit here and not a suffix, as in the kernel
        ("0x1E", 30),
        # a leading zero makes the number octal
        ("010M", 8 << 20),
        ("0K", 0),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_parse_size_reads_what_memparse_reads(text: str, nbytes: int) -> None:
    assert parse_size(text) == nbytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M",
        "-1",
        "+1",
        "1.5M",
        "64MB",
        "64 M",
        "08",
        "0x",
        "1_000",
        "max",
        "1Z",
        "¹",
    ],
)
def test_parse_size_refuses_what_memparse_stops_at(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["16E", "18446744073709551616", "0xffffffffffffffffK"])
def test_parse_size_beyond_64_bits_is_refused_and_does_not_wrap(text: str) -> None:
    with pytest.raises(ValueError, match="64-bit"):
        parse_size(text)


def test_parse_size_of_endless_digits_is_refused_without_reading_them() -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size("9" * 100_000)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (None, "max"),
        (0, "0"),
        (1023, "1023"),
        (1024, "1K"),
        (1536, "1536"),
        (64 << 20, "64M"),
        (1 << 60, "1E"),
        (1 << 63, "8E"),
    ],
)
def test_format_size_uses_the_largest_exact_suffix(
    nbytes: int | None, text: str
) -> None:
    assert format_size(nbytes) == text


def test_limit_rounds_down_and_file_system_size_rounds_up_to_pages() -> None:
    assert limit_pages(8191) == 1
    assert whole_pages(8191) == 2
    assert limit_pages(0) == 0
    assert whole_pages(4096) == 1


@pytest.mark.parametrize("nbytes", [None, 2**63 - 1, 2**64 - 1])
def test_limit_beyond_any_machine_is_no_limit(nbytes: int | None) -> None:
    assert limit_pages(nbytes) == NO_LIMIT
    assert whole_pages(nbytes) == NO_LIMIT


def test_largest_limit_that_counts_is_kept() -> None:
    assert limit_pages(2**63 - 1 - 4096) == (2**63 - 1) // 4096 - 1


@pytest.mark.parametrize(
    ("text", "digits"),
    [("10M", "10485760"), ("1k", "1024"), ("15E", str(15 << 60)), ("3G", str(3 << 30))],
)
def test_a_rate_with_a_suffix_is_written_in_digits(text: str, digits: str) -> None:
    assert rate_text(text) == digits


@pytest.mark.parametrize(
    "text", ["M", "0M", "010M", "0x1M", "1.5M", "4MB", "-1M", "16E"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rate such as 4194304|larger than"):
        rate_text(text)
