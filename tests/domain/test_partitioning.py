"""Rows go to the partition that Milvus would choose."""

from __future__ import annotations

import zlib

import pyarrow as pa
import pytest

from penstock.domain.partitioning import partition_of

# MurmurHash3 (x86, 32 bits, seed 0) of the key's eight little-endian bytes, top bit cleared, by the mmh3 package.
MURMUR3 = {
    0: 1669671676,
    1: 1392991556,
    -1: 1651860712,
    42: 1871679806,
    2**63 - 1: 40977599,
    -(2**63): 1366273829,
    1234567890123: 1740798302,
}


@pytest.mark.parametrize("partitions", [1, 16, 1000, 2**31])
def test_int64_keys(partitions: int) -> None:
    keys = pa.array(MURMUR3, pa.int64())
    assert partition_of(keys, partitions).tolist() == [each % partitions for each in MURMUR3.values()]


@pytest.mark.parametrize("partitions", [1, 16, 1000, 2**32])
def test_varchar_keys(partitions: int) -> None:
    keys = ["", "red", "größe", "red", "x" * 200]
    expected = [zlib.crc32(key.encode()[:100]) % partitions for key in keys]
    assert partition_of(pa.array(keys), partitions).tolist() == expected


def test_only_the_first_100_bytes_count_even_within_a_character() -> None:
    first, other = "x" * 99 + "é", "x" * 99 + "è"  # é and è share their first byte
    assert len(set(partition_of(pa.array([first, other]), 2**32))) == 1


def test_a_sliced_column() -> None:
    assert partition_of(pa.array([7, 0, 1, 7])[1:3], 2**31).tolist() == [MURMUR3[0], MURMUR3[1]]
    assert partition_of(pa.array(["a", "red", ""])[1:], 16).tolist() == [15, 0]


def test_no_rows() -> None:
    assert partition_of(pa.array([], pa.int64()), 16).tolist() == []
    assert partition_of(pa.array([], pa.string()), 16).tolist() == []
