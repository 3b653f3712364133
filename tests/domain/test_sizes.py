"""Sizes as people write and read them."""

from __future__ import annotations

import pytest
from pydantic import ByteSize, TypeAdapter

from penstock.domain.sizes import parse_size, size_text
from penstock.errors import InvalidParameter


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("134217728", 128 << 20),
        ("128MiB", 128 << 20),
        ("128 mib", 128 << 20),
        ("1.5GB", 1_500_000_000),
        (".5k", 500),
        ("12B", 12),
        ("2TiB", 2 << 40),
        ("0", 0),
    ],
)
def test_a_size_is_read_as_the_settings_of_a_server_read_it(text: str, size: int) -> None:
    assert parse_size(text) == size == TypeAdapter(ByteSize).validate_python(text)


@pytest.mark.parametrize("text", ["", "MiB", "1 2", "-5", "1e3", "5 XB", "128 Mi", "inf"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="is not a size; write 128MiB or 1GB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (52_430, "52.4 kB"),
        (999_999, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**21, "5,000.0 EB"),
    ],
)
def test_a_size_is_shown_with_one_decimal(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize("text", ["16EiB", "9" * 400])
def test_a_size_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="is more than any disk holds"):
        parse_size(text)
