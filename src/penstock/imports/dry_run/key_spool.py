"""Find duplicate keys among any number of rows in bounded memory: hashes on disk, divided into buckets."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from penstock.imports.dry_run.key_hashes import Hashes

BUCKET_ROWS = 4 << 20
"""Rows whose hashes are in memory at once: some 300 MB while they are sorted."""
_MAX_BUCKETS = 1024
MAX_DUPLICATES = 10

_Matrix = npt.NDArray[np.uint64]
"""Hashes of the keys, and in the last line the place of each: the number of its split in the upper 32 bits, the row
in the split in the lower ones. Shape (2, n) or (3, n)."""


@dataclass(frozen=True, slots=True)
class RowPlace:
    """A row: the number of its split, and its row there."""

    split: int
    row: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that ``count`` rows have, and the first two of them."""

    count: int
    first: RowPlace
    second: RowPlace


@dataclass(frozen=True, slots=True)
class Duplicates:
    """``rows`` whose key an earlier row has, the number of different ``keys`` among them, and the first few."""

    rows: int
    keys: int
    first: Sequence[Duplicate]


class KeySpool:
    """The key hashes of a dry run's splits, in a folder of files.

    A split's file is complete when it is there, so that a restarted process knows which splits it lacks. Two may use
    the folder at a time: a server that has lost the job, and doesn't know it yet, besides the one that has it. So
    what isn't complete has a name of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, split: int, hashes: Hashes, rows: npt.NDArray[np.uint32]) -> None:
        """Store the hashes of a split's keys; ``rows`` are their rows in the split. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        places = (np.uint64(split) << np.uint64(32)) | rows.astype(np.uint64)
        handle, partial = tempfile.mkstemp(suffix=".part", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, np.vstack([hashes, places[None, :]]))
                file.flush()
                os.fsync(file.fileno())  # the catalog, which counts the split as checked then, survives a power loss
            os.replace(partial, self._path(split))
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def has(self, split: int) -> bool:
        return self._path(split).exists()

    def drop(self) -> None:
        """Delete the folder. Idempotent."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def find(self, check: Callable[[], None] = lambda: None, bucket_rows: int = BUCKET_ROWS) -> Duplicates:
        """Find the rows with a key that an earlier row has, in memory for ``bucket_rows``.

        Args:
            check: called between pieces of work; may raise to stop.

        Raises:
            OSError: the disk is full, or fails.
        """
        paths = sorted(self._folder.glob("*.npy"))
        total = sum(_open(path).shape[1] for path in paths)
        if total <= bucket_rows:
            return _summary([_reduce(np.concatenate([_open(path) for path in paths], axis=1))] if total else [])
        count = min(_MAX_BUCKETS, 1 << int(np.ceil(np.log2(total / bucket_rows * 1.25))))
        with tempfile.TemporaryDirectory(prefix="buckets-", dir=self._folder) as folder:
            buckets = Path(folder)
            for path in paths:
                check()
                _divide(_open(path), buckets, count, bucket_rows)
            found = []
            for path in sorted(buckets.iterdir()):
                check()
                found.append(_only_repeated(_fold(path, _open(paths[0]).shape[0], bucket_rows)))
                path.unlink()
        return _summary(found)

    def _path(self, split: int) -> Path:
        return self._folder / f"{split:08}.npy"


@dataclass(frozen=True, slots=True)
class _Keys:
    """Different keys: the hashes (shape (1 or 2, k)), how many rows have each, the first row and the second."""

    hashes: _Matrix
    counts: npt.NDArray[np.int64]
    first: npt.NDArray[np.uint64]
    second: npt.NDArray[np.uint64]


_NO_ROW = np.uint64(2**64 - 1)


def _open(path: Path) -> _Matrix:
    matrix: _Matrix = np.load(path, mmap_mode="r")
    return matrix


def _divide(matrix: _Matrix, folder: Path, count: int, step: int) -> None:
    """Append the columns of a matrix to the files of their buckets, by the highest bits of the first hash."""
    shift = np.uint64(64 - int(np.log2(count)))
    for start in range(0, matrix.shape[1], step):
        part = np.asarray(matrix[:, start : start + step])
        numbers = (part[0] >> shift).astype(np.int64) if count > 1 else np.zeros(part.shape[1], np.int64)
        order = np.argsort(numbers, kind="stable")
        part, bounds = part[:, order], np.searchsorted(numbers[order], np.arange(count + 1))
        for number in range(count):
            if bounds[number] < bounds[number + 1]:
                with (folder / f"{number:04}").open("ab") as file:
                    # Transposed: a file of rows can be read in pieces.
                    file.write(np.ascontiguousarray(part[:, bounds[number] : bounds[number + 1]].T).tobytes())


def _fold(path: Path, lines: int, step: int) -> _Keys:
    """The different keys of a bucket. One key of very many rows makes a large bucket, so it is read in pieces."""
    keys: _Keys | None = None
    for piece in _pieces(path, lines, step):
        reduced = _reduce(piece)
        keys = reduced if keys is None else _merge(keys, reduced)
    assert keys is not None, "empty buckets have no file"
    return keys


def _pieces(path: Path, lines: int, step: int) -> Iterator[_Matrix]:
    with path.open("rb") as file:
        while data := file.read(step * lines * 8):
            yield np.ascontiguousarray(np.frombuffer(data, np.uint64).reshape(-1, lines).T)


def _reduce(matrix: _Matrix) -> _Keys:
    rows = matrix.shape[1]
    return _group(matrix[:-1], np.ones(rows, np.int64), np.asarray(matrix[-1]), np.full(rows, _NO_ROW, np.uint64))


def _merge(keys: _Keys, others: _Keys) -> _Keys:
    return _group(
        np.concatenate([keys.hashes, others.hashes], axis=1),
        np.concatenate([keys.counts, others.counts]),
        np.concatenate([keys.first, others.first]),
        np.concatenate([keys.second, others.second]),
    )


def _group(
    hashes: _Matrix, counts: npt.NDArray[np.int64], first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]
) -> _Keys:
    """Join equal keys."""
    order = np.argsort(hashes[0], kind="stable")
    if not (np.diff(hashes[0][order]) == 0).any():
        return _Keys(hashes, counts, first, second)
    order = np.lexsort((first, *hashes[::-1]))
    hashes, counts, first, second = hashes[:, order], counts[order], first[order], second[order]
    begins = np.ones(len(first), np.bool_)
    begins[1:] = (hashes[:, 1:] != hashes[:, :-1]).any(axis=0)
    starts = np.flatnonzero(begins)
    followers = np.where(begins, _NO_ROW, first)
    return _Keys(
        hashes[:, starts],
        np.add.reduceat(counts, starts),
        first[starts],
        np.minimum(np.minimum.reduceat(second, starts), np.minimum.reduceat(followers, starts)),
    )


def _only_repeated(keys: _Keys) -> _Keys:
    repeated = keys.counts > 1
    return _Keys(keys.hashes[:, repeated], keys.counts[repeated], keys.first[repeated], keys.second[repeated])


def _summary(parts: Sequence[_Keys]) -> Duplicates:
    repeated = [_only_repeated(part) for part in parts]
    if not repeated:
        return Duplicates(0, 0, [])
    counts = np.concatenate([part.counts for part in repeated])
    first = np.concatenate([part.first for part in repeated])
    second = np.concatenate([part.second for part in repeated])
    chosen = np.argsort(second)[:MAX_DUPLICATES]
    return Duplicates(
        rows=int(counts.sum() - len(counts)),
        keys=len(counts),
        first=[Duplicate(int(counts[at]), _place(first[at]), _place(second[at])) for at in chosen],
    )


def _place(number: np.uint64) -> RowPlace:
    return RowPlace(int(number) >> 32, int(number) & 0xFFFFFFFF)
