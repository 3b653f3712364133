"""Duplicate keys, found in bounded memory as a dictionary would find them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from penstock.imports.dry_run.key_hashes import hash_keys
from penstock.imports.dry_run.key_spool import Duplicates, KeySpool, RowPlace

ROWS = 500


def columns(kind: str) -> list[list[int | str]]:
    """Four splits of keys, many of them repeated; most of the third are one key."""
    random = np.random.default_rng(1)
    splits: list[list[int | str]] = []
    for split in range(4):
        numbers = random.integers(-800, 800, ROWS).tolist()
        if split == 2:
            numbers[:400] = [7] * 400
        splits.append(numbers if kind == "int" else [f"é{number}" * (1 + number % 5) for number in numbers])
    return splits


@pytest.mark.parametrize("kind", ["int", "text"])
@pytest.mark.parametrize("bucket_rows", [10_000, 100])
def test_duplicates_are_counted_and_located(tmp_path: Path, kind: str, bucket_rows: int) -> None:
    splits = columns(kind)
    spool = KeySpool(tmp_path / "spool")
    for number, keys in enumerate(splits):
        spool.add(number, hash_keys(pa.array(keys), seed=3), np.arange(ROWS, dtype=np.uint32))
    found = spool.find(bucket_rows=bucket_rows)
    counts = Counter(key for keys in splits for key in keys)
    assert found.rows == 4 * ROWS - len(counts)
    assert found.keys == sum(count > 1 for count in counts.values())
    for duplicate in found.first:
        key = splits[duplicate.first.split][duplicate.first.row]
        places = [RowPlace(split, row) for split in range(4) for row in range(ROWS) if splits[split][row] == key]
        assert (duplicate.count, duplicate.first, duplicate.second) == (counts[key], places[0], places[1])


def test_a_server_that_has_lost_the_job_does_not_disturb_the_one_that_has_it(tmp_path: Path) -> None:
    spool = KeySpool(tmp_path / "spool")
    for number, keys in enumerate(columns("int")):
        spool.add(number, hash_keys(pa.array(keys), seed=3), np.arange(ROWS, dtype=np.uint32))
    expected = spool.find(bucket_rows=100)
    among: list[Duplicates] = []

    def other() -> None:
        if len(among) < 8:
            among.append(KeySpool(tmp_path / "spool").find(bucket_rows=100))

    assert spool.find(other, bucket_rows=100) == expected
    assert among == [expected] * 8
    assert all(path.suffix == ".npy" for path in (tmp_path / "spool").iterdir()), "nothing is left"


def test_a_split_is_stored_although_a_server_that_has_lost_the_job_stores_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, others, fsync = KeySpool(tmp_path / "spool"), [KeySpool(tmp_path / "spool")], os.fsync
    hashes, rows = hash_keys(pa.array([1, 2, 2]), seed=3), np.arange(3, dtype=np.uint32)

    def among(handle: int) -> None:
        if others:
            others.pop().add(0, hashes, rows)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", among)
    spool.add(0, hashes, rows)
    assert spool.find().rows == 1
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["00000000.npy"]


def test_a_split_is_there_once_it_is_complete(tmp_path: Path) -> None:
    spool = KeySpool(tmp_path / "spool")
    assert spool.find().rows == 0
    spool.add(3, hash_keys(pa.array([1, 1]), 0), np.array([4, 9], np.uint32))
    assert spool.has(3)
    assert not spool.has(2)
    assert spool.find().first[0].second == RowPlace(3, 9)
    spool.drop()
    assert not spool.has(3)


def test_the_hash_of_a_text_depends_on_nothing_but_it_and_the_seed() -> None:
    alone = hash_keys(pa.array(["key"]), 5)
    among = hash_keys(pa.array(["a" * 1000, "key", ""]), 5)
    assert (alone[:, 0] == among[:, 1]).all()
    assert (hash_keys(pa.array(["key"]), 6) != alone).all()
    assert len({tuple(column) for column in hash_keys(pa.array(["", "\0", "\0\0", "a", "a\0"]), 5).T.tolist()}) == 5
