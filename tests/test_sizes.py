"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfrestore.errors import UsageError
from dfrestore.sizes import parse_bytes, parse_pixels


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 << 30),
        ("4g", 4 << 30),
        ("512M", 512 << 20),
        ("1.5 KiB", 1536),
        ("1.5GiB", 3 << 29),
        ("64kb", 64 << 10),
        (" 800 ", 800),
        ("0", 0),
        ("1T", 1 << 40),
    ],
)
def test_bytes_are_in_powers_of_1024(text: str, size: int) -> None:
    assert parse_bytes(text, "data.memory") == size


@pytest.mark.parametrize(("text", "count"), [("200M", 200_000_000), ("24Mpx", 24_000_000), ("1.5K", 1500), ("7", 7)])
def test_pixels_are_in_powers_of_1000(text: str, count: int) -> None:
    assert parse_pixels(text, "--max-pixels") == count


@pytest.mark.parametrize("text", ["", "G", "-1G", "8X", "1e9", "1.G", "8 GG", "\u212a", "8\u212a", "9" * 400])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"data\.cache: "):
        parse_bytes(text, "data.cache")
    with pytest.raises(UsageError, match="--max-pixels: "):
        parse_pixels(text, "--max-pixels")


@given(st.integers(0, 2**62))
def test_whole_numbers_of_bytes_and_kibibytes_come_back(count: int) -> None:
    assert parse_bytes(f"{count}", "size") == int(float(count))
    assert parse_bytes(f"{count}K", "size") == int(float(count)) * 1024
