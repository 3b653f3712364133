"""Index mapping: which Lance index is built for which Milvus index, with which parameters.

| Milvus index | on | Lance index | parameters |
|---|---|---|---|
| AUTOINDEX, IVF_SQ8, SCANN, DISKANN, AISAQ, GPU_CAGRA | float, int8 | IVF_SQ | ``nlist`` |
| IVF_FLAT, GPU_IVF_FLAT | float, int8 | IVF_FLAT | ``nlist`` |
| IVF_PQ, GPU_IVF_PQ | float, int8 | IVF_PQ | ``nlist``, ``m``, ``nbits`` |
| IVF_RABITQ | float, int8 | IVF_RQ | ``nlist`` |
| HNSW | float, int8 | IVF_HNSW_FLAT | ``M``, ``efConstruction`` |
| HNSW_SQ, HNSW_PQ, HNSW_PRQ | float, int8 | IVF_HNSW_SQ | ``M``, ``efConstruction`` |
| AUTOINDEX, BIN_IVF_FLAT by HAMMING | binary | IVF_FLAT | ``nlist`` |
| FLAT, GPU_BRUTE_FORCE, BIN_FLAT, any by JACCARD, SPARSE_* | vectors | none: brute force | |
| BITMAP, and any on Bool | scalars | BITMAP | |
| every other name | scalars | BTREE | |
| any | Array | LABEL_LIST | |
| any | JSON, lists of structs | none | |

Graph indexes with product quantisation become IVF_HNSW_SQ: Lance trains it so slowly that 30,000 rows of 64
dimensions took 22 s, against 3 s. DISKANN and the like are for vectors that don't fit into memory; IVF_SQ does that
here, as Lance keeps indexes on the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType, Field

Kind = Literal[
    "IVF_FLAT", "IVF_SQ", "IVF_PQ", "IVF_RQ", "IVF_HNSW_FLAT", "IVF_HNSW_SQ", "BTREE", "BITMAP", "LABEL_LIST"
]

LEAST_VECTOR_BYTES = 32 << 20
"""As float32; below it a brute-force search takes 50 to 80 ms at most."""

LEAST_SCALAR_ROWS = 10_000

PARTITION_ROWS, _LARGE_PARTITION_ROWS = 1024, 4096
_SMALL_PARTITIONS = 1024
"""Partitions have 1,024 rows up to so many, then grow to 4,096 rows. Small ones are searched more precisely: a recall
of .98 of 200,000 x 768 (24 intrinsic dimensions) took 9.5 ms of processor time with 48 partitions, 6.4 ms with 256.
Of larger tables they would cost more to train than searches gain."""

_HIERARCHICAL, _LEAST_HIERARCHICAL = 257, 96
"""Lance trains more than 256 partitions hierarchically: the index above took 9.8 s of processor time with 257,
36.8 s with 256, and 9.3 s with 96."""

_LEAST_PARTITION_ROWS = 64
"""Training needs a sample of each partition; a larger ``nlist`` is reduced until there are enough rows."""

SAMPLE_RATE, _LEAST_SAMPLE_RATE = 256, 16
"""Rows per partition that partitions are trained on: Lance's default, and the fewest where memory is short.

Fewer are quicker to train on, but partitions become less even: with 64, a search of words reads 23 % more rows.
"""

MAX_PARTITIONS = 65_536
"""As Milvus allows: the centroids are in memory whenever an index is searched."""

GRAPH_BYTES = 256 << 20
"""Bytes of the vectors of one graph. It is built in memory, and a table that outgrows it gets several."""

_KINDS: Mapping[str, Kind] = {
    "IVF_FLAT": "IVF_FLAT",
    "GPU_IVF_FLAT": "IVF_FLAT",
    "IVF_PQ": "IVF_PQ",
    "GPU_IVF_PQ": "IVF_PQ",
    "IVF_RABITQ": "IVF_RQ",
    "HNSW": "IVF_HNSW_FLAT",
    "HNSW_SQ": "IVF_HNSW_SQ",
    "HNSW_PQ": "IVF_HNSW_SQ",
    "HNSW_PRQ": "IVF_HNSW_SQ",
}
_EXACT = frozenset({"FLAT", "GPU_BRUTE_FORCE", "BIN_FLAT"})

_M, _EF_CONSTRUCTION = 16, 150
_VALUES_PER_CODE = 16
"""IVF_PQ without ``m``: values per code, as in Lance's own default."""


@dataclass(frozen=True)
class DesiredIndex:
    """An index that a table should have. ``partitions`` is ``nlist``, None if the engine chooses.

    ``details`` are the parameters that Lance reports of a built index, by its own names.
    """

    column: str
    kind: Kind
    metric: Metric | None = None
    partitions: int | None = None
    details: Mapping[str, Mapping[str, int]] | None = None

    @property
    def is_vector(self) -> bool:
        return self.metric is not None

    @property
    def is_graph(self) -> bool:
        return "HNSW" in self.kind

    def build_options(self) -> dict[str, Any]:
        """Arguments of ``create_index`` besides the kind, the metric and the number of partitions."""
        names = {
            "max_connections": "m",
            "construction_ef": "ef_construction",
            "num_sub_vectors": "num_sub_vectors",
            "num_bits": "num_bits",
        }
        parameters = {key: value for group in (self.details or {}).values() for key, value in group.items()}
        return {names[key]: value for key, value in parameters.items()}


_UNINDEXED = (DataType.JSON, DataType.ARRAY_OF_STRUCT, DataType.TEXT, DataType.GEOMETRY)


def vector_bytes(field: Field, rows: int) -> int:
    """Bytes that a brute-force search of ``rows`` vectors reads."""
    return rows * field.width * (1 if field.type is DataType.BINARY_VECTOR else 4)


def partitions_for(wanted: DesiredIndex, field: Field, rows: int) -> int:
    """The number of partitions of a vector index over ``rows`` rows."""
    if wanted.is_graph:
        return max(1, vector_bytes(field, rows) // GRAPH_BYTES)
    if wanted.partitions is None:
        count = partitions_by_size(rows)
        return max(count, _HIERARCHICAL) if count >= _LEAST_HIERARCHICAL else count
    return max(1, min(wanted.partitions, rows // _LEAST_PARTITION_ROWS))


def partitions_by_size(rows: int) -> int:
    """How many partitions of the usual size so many rows have."""
    count = max(min(rows // PARTITION_ROWS, _SMALL_PARTITIONS), rows // _LARGE_PARTITION_ROWS)
    return max(1, min(count, MAX_PARTITIONS))


def sample_rate(field: Field, partitions: int, memory: int | None) -> int:
    """Rows per partition to train on, so that half of the ``memory`` holds them; None for no limit."""
    if memory is None:
        return SAMPLE_RATE
    return max(_LEAST_SAMPLE_RATE, min(SAMPLE_RATE, memory // 4 // vector_bytes(field, partitions)))


def desired_index(column: str, field: Field, spec: IndexSpec, rows: int) -> DesiredIndex | None:
    """The index that a table of ``rows`` rows should have by ``spec``; None where a scan is as good."""
    if field.type.is_vector:
        return _vector_index(column, field, spec) if _is_worth_it(field, spec, rows) else None
    if field.type in _UNINDEXED or rows < LEAST_SCALAR_ROWS:
        return None
    if field.type is DataType.ARRAY:
        return DesiredIndex(column, "LABEL_LIST")
    bitmap = spec.type == "BITMAP" or field.type is DataType.BOOL
    return DesiredIndex(column, "BITMAP" if bitmap else "BTREE")


def _is_worth_it(field: Field, spec: IndexSpec, rows: int) -> bool:
    indexable = field.type.is_dense_vector and spec.metric is not Metric.JACCARD and spec.type not in _EXACT
    return indexable and vector_bytes(field, rows) >= LEAST_VECTOR_BYTES


def _vector_index(column: str, field: Field, spec: IndexSpec) -> DesiredIndex:
    binary = field.type is DataType.BINARY_VECTOR
    kind = "IVF_FLAT" if binary else _KINDS.get(spec.type, "IVF_SQ")
    details: dict[str, Mapping[str, int]] = {}
    if kind in ("IVF_HNSW_FLAT", "IVF_HNSW_SQ"):
        details["hnsw"] = {
            "max_connections": _number(spec.params, "M", _M, 2, 2048),
            "construction_ef": _number(spec.params, "efConstruction", _EF_CONSTRUCTION, 1, 1 << 16),
        }
    elif kind == "IVF_PQ":
        codes = _number(spec.params, "m", _codes(field.width), 1, field.width)
        details["compression"] = {
            "num_sub_vectors": codes if field.width % codes == 0 else _codes(field.width),
            "num_bits": 4 if _number(spec.params, "nbits", 8, 1, 64) <= 4 else 8,
        }
    elif kind == "IVF_RQ":
        details["compression"] = {"num_bits": 1}
    partitions = None if kind.startswith("IVF_HNSW") else _number(spec.params, "nlist", 0, 1, 65_536)
    return DesiredIndex(column, kind, spec.metric, partitions or None, details or None)


def _codes(dim: int) -> int:
    """The largest number of codes, at most one for 16 values, that divides ``dim``."""
    return next(count for count in range(max(1, dim // _VALUES_PER_CODE), 0, -1) if dim % count == 0)


def _number(params: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    """A parameter as a whole number, maybe given as text. Other values, stored by older releases, are ignored."""
    number = params.get(name)
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) and least <= number <= most else default
