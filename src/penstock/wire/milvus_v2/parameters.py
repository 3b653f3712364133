"""Tables of the free-typed parameters of the Milvus v2 calls: which are served, which have no effect, and why.

``params``, ``properties``, ``elementTypeParams``, ``searchParams`` and ``options`` are objects with arbitrary keys.
Milvus ignores unknown keys, so a misspelt one has no effect and gives no error. Here each key is in one of these
tables or refused: :func:`check_parameters`. ``docs/parameters.md`` is generated from the tables.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penstock.domain.collections import TTL
from penstock.domain.index import GRAPH_INDEXES, NLIST_INDEXES, PRODUCT_INDEXES
from penstock.errors import InvalidParameter, Unsupported, shorten
from penstock.wire.decoding import MAX_INT32, go_boolean, whole_number

__all__ = [
    "COLLECTION_PARAMS",
    "COLLECTION_PROPERTIES",
    "DATABASE_PROPERTIES",
    "FIELD_PARAMS",
    "IMPORT_OPTIONS",
    "INDEX_PARAMS",
    "REQUEST_KEYS",
    "SEARCH_PARAMS",
    "TABLES",
    "Effect",
    "Parameter",
    "ParameterTable",
    "check_parameters",
]


class Effect(StrEnum):
    """The effect of a parameter."""

    SERVED = "served"
    NONE = "no effect"
    REFUSED = "refused"


class Kind(StrEnum):
    """The type of a parameter's value; JSON text of it is accepted too."""

    ANY = "a string, a number, true or false"
    FLAG = "true or false"
    COUNT = "a whole number from 1 on"
    AMOUNT = "a whole number"
    NUMBER = "a number"
    TEXT = "a string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One key, or several with the same meaning. A name that ends in ``.`` matches as a prefix.

    ``about`` describes a served one, why another has no effect, or the alternative to a refused one.
    ``types`` are the index types that it applies to, empty for all. A refused ``FLAG`` may be false.
    """

    names: tuple[str, ...]
    effect: Effect
    about: str
    kind: Kind = Kind.ANY
    types: frozenset[str] = frozenset()

    def is_named(self, key: str) -> bool:
        return any(key == name or (name.endswith(".") and key.startswith(name)) for name in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterTable:
    """The allowed keys of one object of a request. ``where`` is its name in error messages."""

    title: str
    where: str
    rows: Sequence[Parameter]

    def find(self, key: str) -> Parameter | None:
        return next((row for row in self.rows if row.is_named(key)), None)


def _served(*names: str, about: str, kind: Kind = Kind.ANY, types: frozenset[str] = frozenset()) -> Parameter:
    return Parameter(names=names, effect=Effect.SERVED, about=about, kind=kind, types=types)


def _unused(*names: str, about: str, kind: Kind = Kind.ANY, types: frozenset[str] = frozenset()) -> Parameter:
    return Parameter(names=names, effect=Effect.NONE, about=about, kind=kind, types=types)


def _refused(*names: str, about: str, kind: Kind = Kind.ANY) -> Parameter:
    return Parameter(names=names, effect=Effect.REFUSED, about=about, kind=kind)


_MAPPED = "rows are always read from files through the page cache"
_WARMED = "the page cache keeps what was read; nothing is preloaded"
_ONE_PROCESS = "every server process serves every collection; there are no replicas or resource groups"
_TTL = "seconds after the import during which rows are visible"
_STRONG = "every read sees all imports completed before it, as `Strong` guarantees"

COLLECTION_PARAMS = ParameterTable(
    title="`collections/create`: `params`",
    where="params",
    rows=(
        _served("max_length", about="bytes of a VarChar primary key, quick form", kind=Kind.AMOUNT),
        _served("enableDynamicField", about="whether other fields are stored, quick form; default true"),
        _served("partitionsNum", about="partitions of a collection with a partition key", kind=Kind.AMOUNT),
        _served("ttlSeconds", about=_TTL, kind=Kind.AMOUNT),
        _unused("consistencyLevel", about=f"described; {_STRONG}"),
        _unused("shardsNum", about="described, 1 to 16; a table has no shards", kind=Kind.AMOUNT),
        _unused(
            "partitionKeyIsolation",
            about="described; an index layout of Milvus, results are the same",
            kind=Kind.FLAG,
        ),
        _unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        _unused("warmup.", about=f"described; {_WARMED}", kind=Kind.TEXT),
        _refused("ttlField", about="no time to live per row; set ttlSeconds of the collection"),
    ),
)
COLLECTION_PROPERTIES = ParameterTable(
    title="`collections/create`: `properties`",
    where="properties",
    rows=(
        _served(TTL, "ttl.seconds", about=_TTL, kind=Kind.AMOUNT),
        _unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        _unused("lazyload.enabled", about="described; nothing is preloaded", kind=Kind.FLAG),
        _unused("warmup.", about=f"described; {_WARMED}", kind=Kind.TEXT),
        _unused(
            "partitionkey.isolation",
            about="described; an index layout of Milvus, results are the same",
            kind=Kind.FLAG,
        ),
        _unused("collection.replica.number", "replica.number", about=f"described; {_ONE_PROCESS}", kind=Kind.AMOUNT),
        _unused("collection.resource_groups", about=f"described; {_ONE_PROCESS}", kind=Kind.TEXT),
        _unused("timezone", about="described; there is no data type with a time zone", kind=Kind.TEXT),
        _refused("ttl_field", about="no time to live per row; set ttlSeconds of the collection"),
        _refused("allow_insert_auto_id", about="files cannot contain automatic ids", kind=Kind.FLAG),
        _refused("dynamicfield.enabled", about="use enableDynamicField of the schema"),
        _refused(
            *("collection.insertRate.", "collection.upsertRate.", "collection.deleteRate.", "collection.queryRate."),
            *(
                "collection.searchRate.",
                "collection.bulkLoadRate.",
                "collection.diskProtection.",
                "collection.diskQuota.",
            ),
            about="limits are set per org: penstock orgs set",
        ),
    ),
)
DATABASE_PROPERTIES = ParameterTable(
    title="`databases/create`: `properties`",
    where="properties",
    rows=(
        _unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        _unused("database.replica.number", about=f"described; {_ONE_PROCESS}", kind=Kind.AMOUNT),
        _unused("database.resource_groups", about=f"described; {_ONE_PROCESS}", kind=Kind.TEXT),
        _unused("timezone", about="described; there is no data type with a time zone", kind=Kind.TEXT),
        _refused(
            *("database.force.deny.reading", "database.force.deny.writing"),
            about="control access with roles of the database",
            kind=Kind.FLAG,
        ),
        _refused(
            "database.max.collections", "database.diskQuota.", about="limits are set per org: penstock orgs set"
        ),
    ),
)
FIELD_PARAMS = ParameterTable(
    title="`collections/create`: `elementTypeParams` of fields, `typeParams` of struct fields",
    where="elementTypeParams",
    rows=(
        _served("dim", about="dimensions of dense vectors"),
        _served("max_length", about="maximum bytes of VarChar values, also in arrays; ignored for other types"),
        _served("max_capacity", about="maximum elements of arrays; ignored for other types"),
        _unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        _unused("warmup", about=f"described; {_WARMED}", kind=Kind.TEXT),
        _refused(
            *("enable_analyzer", "enable_match"),
            about="no text analysis: text_match, phrase_match and BM25 are not served. Omit it, or set false",
            kind=Kind.FLAG,
        ),
        _refused("analyzer_params", "multi_analyzer_params", about="no text analysis; omit it"),
    ),
)
_DISK = frozenset({"DISKANN", "AISAQ"})
_CODED = frozenset({"HNSW_SQ", "HNSW_PQ", "HNSW_PRQ", "IVF_RABITQ", "SCANN"})
_INSTEAD = "another index type is built instead, see [indexes](indexes.md)"
INDEX_PARAMS = ParameterTable(
    title="`indexParams`: `params`",
    where="params of an index",
    rows=(
        _served(
            "index_type", "metric_type", about="the same as indexType and metricType outside params", kind=Kind.TEXT
        ),
        _served("nlist", about="partitions of an IVF index, 1 to 65,536", types=NLIST_INDEXES),
        _served("M", about="neighbours per node of a graph, 2 to 2,048", types=GRAPH_INDEXES),
        _served("efConstruction", about="candidates during graph construction", types=GRAPH_INDEXES),
        _served("m", about="codes per vector, a divisor of the dimension", types=PRODUCT_INDEXES),
        _served("nbits", about="bits per code: up to 4 are built as 4, more as 8", types=PRODUCT_INDEXES),
        _unused(
            *("m", "nbits", "nrq", "sq_type", "refine", "refine_type", "rbq_bits_query", "with_raw_data"),
            about="codes have 8 bits (IVF_RABITQ: 1), and candidates are re-ranked by their exact vectors",
            types=_CODED,
        ),
        _unused(
            *("max_degree", "search_list_size", "pq_code_budget_gb", "build_dram_budget_gb", "num_threads"),
            *(
                "search_cache_budget_gb",
                "pq_code_budget_gb_ratio",
                "search_cache_budget_gb_ratio",
                "beam_width_ratio",
            ),
            *("inline_pq", "rearrange"),
            about=_INSTEAD,
            types=_DISK,
        ),
        _unused(
            *("intermediate_graph_degree", "graph_degree", "build_algo", "cache_dataset_on_device", "adapt_for_cpu"),
            about=_INSTEAD,
            types=frozenset({"GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_BRUTE_FORCE"}),
        ),
        _unused(
            *("drop_ratio_build", "inverted_index_algo"),
            about="sparse vectors are searched exactly",
            types=frozenset({"SPARSE_INVERTED_INDEX", "SPARSE_WAND"}),
        ),
        _unused(
            *("min_gram", "max_gram", "bitmap_cardinality_limit"),
            about=_INSTEAD,
            types=frozenset({"NGRAM", "HYBRID"}),
        ),
        _unused("mmap.enabled", "indexoffsetcache.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        _unused("warmup", about=f"described; {_WARMED}", kind=Kind.TEXT),
        _refused(
            *("json_path", "json_cast_type", "json_cast_function"),
            about="indexes on a path of a JSON field are not supported by this server",
        ),
        _refused("bm25_k1", "bm25_b", "bm25_avgdl", about="BM25 is not served"),
    ),
)
SEARCH_PARAMS = ParameterTable(
    title="`entities/search`: `searchParams`, its `params`, and top-level `params`",
    where="searchParams",
    rows=(
        _served("metric_type", "metricType", about="must be the index's metric"),
        _served("radius", "range_filter", about="bounds of the score"),
        _served("nprobe", about="number of partitions of an IVF index to search", kind=Kind.COUNT),
        _served("ef", "search_list", about="candidates in a graph", kind=Kind.COUNT),
        _served("level", about="1 to 10: multiple of the default effort", kind=Kind.COUNT),
        _served(
            "refine_k",
            about="candidates to re-rank by their exact vectors, as a multiple of the limit",
            kind=Kind.NUMBER,
        ),
        _served("reorder_k", about="candidates to re-rank by their exact vectors", kind=Kind.COUNT),
        _unused("ignore_growing", "ignoreGrowing", about="every visible row is sealed", kind=Kind.FLAG),
        _unused("hints", about="filters are always exact", kind=Kind.TEXT),
        _unused("drop_ratio_search", about="sparse vectors are searched exactly", kind=Kind.NUMBER),
        _unused("dim_max_score_ratio", about="sparse vectors are searched exactly", kind=Kind.NUMBER),
        _unused("max_empty_result_buckets", about="a range search considers everything in range", kind=Kind.COUNT),
        _unused(
            *("itopk_size", "search_width", "min_iterations", "max_iterations", "team_size", "beamwidth"),
            *("rbq_query_bits", "vectors_beam_width"),
            about="tunes index types for which others are built, see [indexes](indexes.md)",
        ),
        _refused(
            *("group_by_field", "group_size", "search_iter_id", "search_iter_batch_size", "search_iter_last_bound"),
            about="grouping and iterators are not served",
        ),
        _refused(
            *("strict_group_size", "iterator", "search_iter_v2"),
            about="grouping and iterators are not served",
            kind=Kind.FLAG,
        ),
        _refused("round_decimal", about="scores are returned unrounded; round them in the client"),
    ),
)
IMPORT_OPTIONS = ParameterTable(
    title="`jobs/import/create`: `options`",
    where="options",
    rows=(
        _served("timeout", about="time after which the job fails: `300s`, `1.5h`, `1h45m`"),
        _served("sep", about="separator of CSV columns; default `,`"),
        _served("nullkey", about="text of null in CSV; default: the empty text"),
        _served("unknown_columns", about="columns without a field: `dynamic`, `drop` or `error`"),
        _served("auto_commit", about="`false`: two-phase commit, the job waits with its rows invisible"),
        _refused("backup", "l0_import", about="files of Milvus's own storage cannot be read; `false` is accepted"),
    ),
)
REQUEST_KEYS = ParameterTable(
    title="Top-level keys of requests without effect",
    where="the request",
    rows=(
        _unused("consistencyLevel", about=f"of create, query, get and search: checked; {_STRONG}"),
        _unused(
            *(
                "dimension",
                "metricType",
                "idType",
                "autoID",
                "primaryFieldName",
                "vectorFieldName",
                "vectorFieldType",
            ),
            about="of `collections/create` with `schema.fields`, as in Milvus: they belong to the quick form",
        ),
        _unused("replicaNumber", "resourceGroups", "loadFields", about=f"of `collections/load`: {_ONE_PROCESS}"),
        _unused("any other", about="ignored, as in Milvus: clients send keys of other calls and of other products"),
    ),
)
TABLES: Sequence[ParameterTable] = (
    *(COLLECTION_PARAMS, COLLECTION_PROPERTIES, FIELD_PARAMS, DATABASE_PROPERTIES, INDEX_PARAMS, SEARCH_PARAMS),
    *(IMPORT_OPTIONS, REQUEST_KEYS),
)


def check_parameters(table: ParameterTable, given: Mapping[str, Any], index_type: str = "") -> None:
    """Refuse parameters that the table lacks or has as refused; ``null`` and ``""`` count as absent.

    Raises:
        Unsupported: this server doesn't do it.
        InvalidParameter: the parameter is unknown, not of the index type, or has an invalid value.
    """
    if len(given) > _MOST:
        raise InvalidParameter(f"{table.where} has {len(given)} keys, at most {_MOST} are allowed")
    for key, value in given.items():
        if value is not None and value != "":
            _check_parameter(table, key, value, index_type)


_MOST = 64
"""Maximum number of keys of one such object; every table has fewer parameters."""


def _check_parameter(table: ParameterTable, key: str, value: Any, index_type: str) -> None:
    rows = [row for row in table.rows if row.is_named(key)]
    if not rows:
        raise InvalidParameter(
            f"{shorten(key)} is not a parameter of {table.where}{_nearest(table, key)}", key=shorten(key)
        )
    row = next((row for row in rows if not row.types or index_type in row.types), None)
    if row is None:
        types = sorted(frozenset().union(*(row.types for row in rows)))
        raise InvalidParameter(
            f"{key} is not a parameter of an index of type {shorten(index_type)}, only of {', '.join(types)}", key=key
        )
    if row.effect is Effect.REFUSED and not (row.kind is Kind.FLAG and go_boolean(value) is False):
        raise Unsupported(
            f"{shorten(key)} in {table.where} is not supported by this server: {row.about}", key=shorten(key)
        )
    if not _FITS[row.kind](value):
        raise InvalidParameter(
            f"{shorten(key)} in {table.where} should be {row.kind.value}, but got {shorten(value)}", key=shorten(key)
        )


def _nearest(table: ParameterTable, key: str) -> str:
    names = [name.removesuffix(".") for row in table.rows if row.effect is not Effect.REFUSED for name in row.names]
    near = difflib.get_close_matches(key[:80], names, 1)
    return f"; did you mean {near[0]}?" if near else f". Known parameters: {', '.join(dict.fromkeys(names))}"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value[:80])
        except ValueError:
            return False
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_short(value: str) -> bool:
    """Whether a text may be stored; PostgreSQL stores none with a NUL."""
    return len(value) <= 1024 and "\0" not in value


def _is_count(value: Any) -> bool:
    number = whole_number(value)
    return number is not None and 1 <= number <= MAX_INT32


_FITS: Mapping[Kind, Callable[[Any], bool]] = {
    Kind.ANY: lambda value: not isinstance(value, list | dict) and (not isinstance(value, str) or _is_short(value)),
    Kind.FLAG: lambda value: go_boolean(value) is not None,
    Kind.COUNT: _is_count,
    Kind.AMOUNT: lambda value: whole_number(value) is not None,
    Kind.NUMBER: _is_number,
    Kind.TEXT: lambda value: isinstance(value, str) and _is_short(value),
}
