"""What a search finds, through the wire, is what comparing every row in NumPy finds: each type, each metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.data_planes import DataPlane

ROWS, DIM, QUERIES, LIMIT = 300, 16, 5, 20

Matrix = npt.NDArray[Any]
Score = Callable[[Matrix, Matrix], Matrix]


def l2(query: Matrix, rows: Matrix) -> Matrix:
    return np.asarray(((rows - query) ** 2).sum(axis=1))


def ip(query: Matrix, rows: Matrix) -> Matrix:
    return np.asarray(rows @ query)


def cosine(query: Matrix, rows: Matrix) -> Matrix:
    return np.asarray(rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query))


def hamming(query: Matrix, rows: Matrix) -> Matrix:
    return np.asarray(np.bitwise_count(rows ^ query).sum(axis=1))


def jaccard(query: Matrix, rows: Matrix) -> Matrix:
    both, either = np.bitwise_count(rows & query).sum(axis=1), np.bitwise_count(rows | query).sum(axis=1)
    return np.asarray(1 - both / either)


SCORES: dict[str, Score] = {"L2": l2, "IP": ip, "COSINE": cosine, "HAMMING": hamming, "JACCARD": jaccard}
DENSE: dict[str, npt.DTypeLike] = {
    "FloatVector": np.float32,
    "Float16Vector": np.float16,
    "BFloat16Vector": ml_dtypes.bfloat16,
    "Int8Vector": np.int8,
    "BinaryVector": np.uint8,
}


def made(kind: str, rows: int, seed: int) -> Matrix:
    """Vectors as they are stored: values that the type holds exactly."""
    rng = np.random.default_rng(seed)
    if kind == "BinaryVector":
        return rng.integers(0, 256, (rows, DIM // 8)).astype(np.uint8)
    if kind == "Int8Vector":
        return rng.integers(-128, 128, (rows, DIM)).astype(np.int8)
    return rng.normal(size=(rows, DIM)).astype(DENSE[kind])


def wide(kind: str, vectors: Matrix) -> Matrix:
    return vectors if kind == "BinaryVector" else vectors.astype(np.float64)


def lists(kind: str, vectors: Matrix) -> list[list[Any]]:
    """As JSON has them."""
    listed: list[list[Any]] = (vectors if kind in ("BinaryVector", "Int8Vector") else vectors.astype(float)).tolist()
    return listed


def check(found: list[dict[str, Any]], scores: Matrix, nearest_first: int, allowed: Matrix | None = None) -> None:
    """``found`` holds the best LIMIT of ``scores``: by value, as equal ones may come in any order."""
    places = np.arange(len(scores)) if allowed is None else np.flatnonzero(allowed)
    best = places[np.argsort(nearest_first * scores[places], kind="stable")][:LIMIT]
    told = np.array([hit["distance"] for hit in found])
    own = scores[[int(hit["id"]) for hit in found]]
    # Half precision adds up in the engine as it may.
    slack = 1e-3 * max(1.0, float(np.abs(scores).max()) / 1000)
    np.testing.assert_allclose(told, own, rtol=1e-3, atol=slack)
    np.testing.assert_allclose(told, scores[best], rtol=1e-3, atol=slack)
    assert len(set(map(int, (hit["id"] for hit in found)))) == min(LIMIT, len(places))
    assert (nearest_first * np.diff(told) >= 0).all()


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        *((kind, metric) for kind in list(DENSE)[:4] for metric in ("L2", "IP", "COSINE")),
        ("BinaryVector", "HAMMING"),
        ("BinaryVector", "JACCARD"),
    ],
)
def test_dense_vectors(plane: DataPlane, kind: str, metric: str) -> None:
    docs = plane.quick(DIM, vectorFieldType=kind, metricType=metric)
    vectors, queries = made(kind, ROWS, 1), made(kind, QUERIES, 2)
    plane.put(docs, [{"id": i, "vector": list_, "third": i % 3} for i, list_ in enumerate(lists(kind, vectors))])
    for filter in ("", "third == 1"):
        told = plane.reply(
            "entities/search",
            {"collectionName": docs, "data": lists(kind, queries), "limit": LIMIT, "filter": filter},
        )
        assert told["topks"] == [LIMIT] * QUERIES
        for number, query in enumerate(queries):
            scores = SCORES[metric](wide(kind, query), wide(kind, vectors)).astype(np.float64)
            allowed = np.arange(ROWS) % 3 == 1 if filter else None
            hits = told["data"][number * LIMIT :][:LIMIT]
            check(hits, scores, -1 if metric in ("IP", "COSINE") else 1, allowed)


def test_sparse_vectors(plane: DataPlane) -> None:
    docs = plane.quick(None, vectorFieldType="SparseFloatVector")
    rng = np.random.default_rng(3)

    def sparse(rows: int) -> list[dict[str, float]]:
        return [
            {str(index): float(np.float32(rng.random())) for index in rng.choice(60, size=8, replace=False)}
            for _ in range(rows)
        ]

    vectors, queries = sparse(ROWS), sparse(QUERIES)
    plane.put(docs, [{"id": i, "vector": vector} for i, vector in enumerate(vectors)])
    told = plane.reply("entities/search", {"collectionName": docs, "data": queries, "limit": LIMIT})
    assert told["topks"] == [LIMIT] * QUERIES
    for number, query in enumerate(queries):
        products = np.array([sum(query.get(k, 0) * v for k, v in vector.items()) for vector in vectors])
        check(told["data"][number * LIMIT :][:LIMIT], products, -1)


def test_null_vectors_are_never_near(plane: DataPlane) -> None:
    docs = plane.collection(
        {"fieldName": "v", "dataType": "FloatVector", "nullable": True, "elementTypeParams": {"dim": 2}}
    )
    plane.put(docs, [{"id": 1, "v": [1, 0]}, {"id": 2, "v": None}, {"id": 3, "v": [0, 1]}])
    for metric in ("L2", "IP", "COSINE"):
        hits = plane.call(
            "entities/search",
            collectionName=docs,
            data=[[1, 0]],
            searchParams={"metricType": metric},
            outputFields=["v"],
        )
        assert [(hit["id"], hit["v"]) for hit in hits] == [("1", [1.0, 0.0]), ("3", [0.0, 1.0])]
