"""Index parameters: the index types and metrics that a field may have, and the default metric.

Source: Milvus REST v2 ``indexes/create``. The engine maps an index name to what it builds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from penstock.domain.parse_int import number_of_digits
from penstock.domain.schema import DataType, Field
from penstock.errors import InvalidParameter, shorten


class Metric(StrEnum):
    """A metric between two vectors. L2 is the squared distance; COSINE and IP are similarities, higher is nearer.

    BM25 scores texts, by the term vectors that a function computes of them.
    """

    L2 = "L2"
    IP = "IP"
    COSINE = "COSINE"
    HAMMING = "HAMMING"
    JACCARD = "JACCARD"
    BM25 = "BM25"

    @property
    def higher_is_nearer(self) -> bool:
        return self in (Metric.IP, Metric.COSINE, Metric.BM25)


_DENSE_METRICS = (Metric.COSINE, Metric.L2, Metric.IP)
_DENSE_INDEXES = frozenset(
    {"AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "IVF_RABITQ", "SCANN", "DISKANN", "AISAQ"}
    | {"HNSW", "HNSW_SQ", "HNSW_PQ", "HNSW_PRQ"}
    | {"GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_BRUTE_FORCE", "GPU_CAGRA"}
)
GRAPH_INDEXES = frozenset({"HNSW", "HNSW_SQ", "HNSW_PQ", "HNSW_PRQ"})
"""Types with the parameters ``M`` and ``efConstruction``."""
PRODUCT_INDEXES = frozenset({"IVF_PQ", "GPU_IVF_PQ"})
"""Types with the parameters ``m`` and ``nbits`` that an engine may use."""
NLIST_INDEXES = PRODUCT_INDEXES | {
    *("IVF_FLAT", "IVF_SQ8", "IVF_RABITQ", "SCANN", "DISKANN", "AISAQ"),
    *("GPU_IVF_FLAT", "GPU_CAGRA", "BIN_IVF_FLAT"),
}
"""Types with the parameter ``nlist``."""
SPARSE_INDEXES = frozenset({"SPARSE_INVERTED_INDEX", "SPARSE_WAND"})
"""Types for sparse vectors, next to AUTOINDEX."""
_VECTOR_RULES: Mapping[DataType, tuple[tuple[Metric, ...], frozenset[str]]] = {
    DataType.FLOAT_VECTOR: (_DENSE_METRICS, _DENSE_INDEXES),
    DataType.FLOAT16_VECTOR: (_DENSE_METRICS, _DENSE_INDEXES),
    DataType.BFLOAT16_VECTOR: (_DENSE_METRICS, _DENSE_INDEXES),
    DataType.INT8_VECTOR: (_DENSE_METRICS, _DENSE_INDEXES),
    DataType.BINARY_VECTOR: (
        (Metric.HAMMING, Metric.JACCARD),
        frozenset({"AUTOINDEX", "BIN_FLAT", "BIN_IVF_FLAT"}),
    ),
    DataType.SPARSE_FLOAT_VECTOR: (
        (Metric.IP,),
        SPARSE_INDEXES | {"AUTOINDEX"},
    ),
}
_RANGES: Mapping[str, tuple[int, int]] = {
    "nlist": (1, 65_536),
    "M": (2, 2048),
    "efConstruction": (1, 2**31 - 1),
    "m": (1, 65_536),
    "nbits": (1, 64),
}
"""Integer parameters of vector indexes and their ranges, as in Milvus."""
_BM25_RANGES: Mapping[str, tuple[float, float]] = {"bm25_k1": (0.0, 3.0), "bm25_b": (0.0, 1.0)}
_SCALAR_INDEXES = frozenset(["AUTOINDEX", "INVERTED", "BITMAP", "STL_SORT", "TRIE", "Trie", "HYBRID", "NGRAM"])
_GEOMETRY_INDEXES = frozenset(["AUTOINDEX", "RTREE"])


INDEX_TYPES = frozenset[str]().union(_SCALAR_INDEXES, *(types for _, types in _VECTOR_RULES.values()))
"""Every index type, of whatever field."""


def default_metric(field: Field) -> Metric:
    """Return the default metric: COSINE, HAMMING (binary), IP (sparse), or BM25 (output of a function)."""
    return Metric.BM25 if field.function_output else _VECTOR_RULES[field.type][0][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bm25Params:
    """How much repeated terms (``k1``) and the length of a text (``b``) count in the score BM25."""

    k1: float = 1.2
    b: float = 0.75

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Bm25Params:
        """The parameters of an index, which :func:`check_index` has checked."""
        given = {name: float(params[f"bm25_{name}"]) for name in ("k1", "b") if params.get(f"bm25_{name}", "") != ""}
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """One index of a collection. ``metric`` is None for scalar fields; ``params`` are the caller's own."""

    name: str
    field_name: str
    type: str = "AUTOINDEX"
    metric: Metric | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "field_name": self.field_name,
            "type": self.type,
            "metric": self.metric.value if self.metric else None,
            "params": dict(self.params),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> IndexSpec:
        values = dict(data)
        values["metric"] = Metric(values["metric"]) if values.get("metric") else None
        return cls(**values)


def check_index(target: Field, *, name: str, type_name: str, metric: str, params: Mapping[str, Any]) -> IndexSpec:
    """Build an :class:`IndexSpec` for ``target``; :class:`InvalidParameter` for a wrong type, metric or parameter.

    Empty ``type_name`` means AUTOINDEX; empty ``metric`` the field type's default, which an explicit vector index
    type does not allow.
    """
    type_name = type_name or "AUTOINDEX"
    if not target.type.is_vector:
        if type_name not in (_GEOMETRY_INDEXES if target.type is DataType.GEOMETRY else _SCALAR_INDEXES):
            raise InvalidParameter(
                f"invalid index type: {shorten(type_name)}", field=target.name, index_type=type_name
            )
        return IndexSpec(name=name, field_name=target.name, type=type_name, params=params)
    metrics, types = _VECTOR_RULES[target.type]
    if type_name not in types:
        raise InvalidParameter(f"invalid index type: {shorten(type_name)}", field=target.name, index_type=type_name)
    _check_params(target, params)
    if target.function_output:
        return IndexSpec(
            name=name, field_name=target.name, type=type_name, metric=_bm25(target, metric, params), params=params
        )
    if metric.upper() == Metric.BM25:
        raise InvalidParameter("only BM25 Function output field support BM25 metric type", field=target.name)
    if not metric:
        if type_name != "AUTOINDEX":
            raise InvalidParameter("metric type not set for vector index", field=target.name, index_type=type_name)
        return IndexSpec(name=name, field_name=target.name, type=type_name, metric=metrics[0], params=params)
    if metric.upper() not in {metric.value for metric in metrics}:
        kind = {DataType.BINARY_VECTOR: "binary", DataType.SPARSE_FLOAT_VECTOR: "sparse"}.get(target.type, "float")
        raise InvalidParameter(
            f"{kind} vector index does not support metric type: {shorten(metric)}",
            expected="valid index params",
            actual="invalid index params",
        )
    return IndexSpec(name=name, field_name=target.name, type=type_name, metric=Metric(metric.upper()), params=params)


def _bm25(target: Field, metric: str, params: Mapping[str, Any]) -> Metric:
    """The metric of a BM25 function's output, after its parameters are checked."""
    if metric and metric.upper() != Metric.BM25:
        raise InvalidParameter(
            f"index metric type of BM25 function output field must be BM25, got {shorten(metric)}", field=target.name
        )
    for name, (least, most) in _BM25_RANGES.items():
        raw = params.get(name)
        if raw is None or raw == "":
            continue
        try:
            value = math.nan if isinstance(raw, bool) else float(raw)
        except (TypeError, ValueError):
            value = math.nan
        if not least <= value <= most:
            raise InvalidParameter(
                f"Out of range in json: param '{name}' ({shorten(raw)}) should be in range [{least}, {most}]",
                field=target.name,
                param=name,
            )
    return Metric.BM25


def _check_params(target: Field, params: Mapping[str, Any]) -> None:
    for name, (least, most) in _RANGES.items():
        raw = params.get(name)
        if raw is None or raw == "":
            continue
        value = number_of_digits(raw) if isinstance(raw, str) else raw
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidParameter(
                f"param '{name}' ({shorten(raw)}) of the index on {target.name} should be a whole number",
                field=target.name,
                param=name,
            )
        if not least <= value <= most:
            raise InvalidParameter(
                f"Out of range in json: param '{name}' ({value}) should be in range [{least}, {most}]",
                field=target.name,
                param=name,
            )
        if name == "m" and target.dim and target.dim % value:
            raise InvalidParameter(
                f"dimension must be able to be divided by `m`, dimension: {target.dim}, m: {value}",
                field=target.name,
                param=name,
            )
