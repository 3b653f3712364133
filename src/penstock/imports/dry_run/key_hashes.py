"""Hash primary keys: an Int64 to its own 64 bits, a text to 128 bits by a random function.

Integers are permuted, not hashed, so that equal hashes are equal keys. Texts go through two random linear functions
of their 32-bit words: two different texts collide with a probability below 2^-64, whatever the files contain, since
the functions are chosen when the dry run begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.rules.rule import Array

Hashes = npt.NDArray[np.uint64]
"""Shape (1, n) for integers, (2, n) for texts."""

_BLOCK_BYTES = 4 << 20
"""Bytes of texts, padded to one length, that are hashed at once."""
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def hash_keys(keys: Array, seed: int) -> Hashes:
    """Hash a column of Int64 or VarChar keys without nulls. Equal keys have equal hashes under the same ``seed``."""
    if pa.types.is_integer(keys.type):
        return _permute(keys.to_numpy(zero_copy_only=False).astype(np.int64, copy=False).view(np.uint64))[None, :]
    if not len(keys):
        return np.zeros((2, 0), np.uint64)
    lengths: Any = pc.binary_length(keys)
    width = -(-max(1, pc.max(lengths).as_py()) // 4) * 4
    step = max(1, _BLOCK_BYTES // width)
    factors = [_factors(seed, number, width // 4 + 1) for number in range(2)]
    parts = [_hash_texts(keys.slice(start, step), factors) for start in range(0, len(keys), step)]
    return np.concatenate(parts, axis=1)


def _factors(seed: int, number: int, count: int) -> npt.NDArray[np.uint64]:
    """The first ``count`` factors of a function: those of a longer text begin with them."""
    return np.random.default_rng([seed, number]).integers(0, 2**64, count, np.uint64)


def _hash_texts(texts: Array, factors: Sequence[npt.NDArray[np.uint64]]) -> Hashes:
    value_lengths: Array = pc.binary_length(texts)
    lengths = value_lengths.to_numpy().astype(np.int64)
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    width = (-(-max(1, int(lengths.max())) // 4)) * 4
    padded = np.zeros((len(texts), width), np.uint8)
    data = _bytes_of(texts)
    if lengths.min() == lengths.max():
        padded[:, : lengths[0]] = data.reshape(len(texts), -1)
    else:
        padded[np.arange(width) < lengths[:, None]] = data
    words = padded.view("<u4").astype(np.uint64)
    hashes = np.empty((2, len(texts)), np.uint64)
    for number in range(2):
        own = factors[number]
        hashes[number] = _permute(words @ own[1 : words.shape[1] + 1] + lengths.astype(np.uint64) * own[0])
    return hashes


def _bytes_of(texts: Array) -> npt.NDArray[np.uint8]:
    """The bytes of all texts, one behind the other."""
    whole = texts.cast(pa.large_binary())
    _, offsets, data = whole.buffers()
    if data is None:
        return np.zeros(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int64)
    return np.frombuffer(data, np.uint8)[bounds[whole.offset] : bounds[whole.offset + len(whole)]]


def _permute(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Permute 64-bit numbers so that every bit of a number affects the highest ones (SplitMix64's finalizer)."""
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))
