"""The partition of a row by its partition key: Milvus's hashes, modulo the partitions.

Int64 keys are hashed with MurmurHash3 (32 bits, seed 0) over their eight little-endian bytes, the top bit cleared;
VarChar keys with CRC-32 (IEEE) over their first 100 bytes.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_HASHED_BYTES = 100


def partition_of(values: pa.Array[Any], partitions: int) -> npt.NDArray[np.int64]:
    """Return the bucket, 0 to ``partitions - 1``, of each key. ``values`` is int64 or string, without nulls."""
    hashes = _murmur3(values.to_numpy()) if pa.types.is_int64(values.type) else _crc32(values)
    return hashes.astype(np.int64) % partitions


def _crc32(values: pa.Array[Any]) -> npt.NDArray[np.int64]:
    """Hash each distinct text once: keys repeat."""
    encoded: Any = values.cast(pa.binary()).dictionary_encode()
    texts: list[bytes] = encoded.dictionary.to_pylist()
    hashes = np.fromiter((zlib.crc32(text[:_HASHED_BYTES]) for text in texts), dtype=np.int64, count=len(texts))
    row_hashes: npt.NDArray[np.int64] = hashes[encoded.indices.to_numpy()]
    return row_hashes


def _murmur3(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """MurmurHash3_x86_32 of eight bytes: two blocks and no tail. uint32 arithmetic wraps, as the hash requires."""
    unsigned = keys.view(np.uint64)
    blocks = (unsigned.astype(np.uint32), (unsigned >> np.uint64(32)).astype(np.uint32))
    state = np.zeros(len(keys), dtype=np.uint32)
    for block in blocks:
        state ^= _rotate(block * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
        state = _rotate(state, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    state ^= np.uint32(8)
    state ^= state >> np.uint32(16)
    state *= np.uint32(0x85EBCA6B)
    state ^= state >> np.uint32(13)
    state *= np.uint32(0xC2B2AE35)
    state ^= state >> np.uint32(16)
    return state & np.uint32(0x7FFFFFFF)


def _rotate(words: npt.NDArray[np.uint32], bits: int) -> npt.NDArray[np.uint32]:
    return words << np.uint32(bits) | words >> np.uint32(32 - bits)
