"""The free-typed parameters of collections, fields, indexes, databases and searches.

``docs/parameters.md`` is generated from the tables. Their titles name the calls of Milvus's REST API.
"""

from __future__ import annotations

from penstock.collections.parameters import Kind, ParameterTable, refused, served, unused
from penstock.domain.collections import TTL
from penstock.domain.index import GRAPH_INDEXES, NLIST_INDEXES, PRODUCT_INDEXES, SPARSE_INDEXES

_MAPPED = "rows are always read from files through the page cache"
_WARMED = "the page cache keeps what was read; nothing is preloaded"
ONE_PROCESS = "every server process serves every collection; there are no replicas or resource groups"
_TTL = "seconds after the import during which rows are visible"
_TIMEZONE = "IANA name: times without an offset are in it, and times in results; default UTC"
_REQUEST_TIMEZONE = "IANA name: times in filters without an offset are in it, and times in results"
READS_ARE_STRONG = "every read sees all imports completed before it, as `Strong` guarantees"

COLLECTION_PARAMS = ParameterTable(
    title="`collections/create`: `params`",
    where="params",
    rows=(
        served("max_length", about="bytes of a VarChar primary key, quick form", kind=Kind.AMOUNT),
        served("enableDynamicField", about="whether other fields are stored, quick form; default true"),
        served("partitionsNum", about="partitions of a collection with a partition key", kind=Kind.AMOUNT),
        served("ttlSeconds", about=_TTL, kind=Kind.AMOUNT),
        unused("consistencyLevel", about=f"described; {READS_ARE_STRONG}"),
        unused("shardsNum", about="described, 1 to 16; a table has no shards", kind=Kind.AMOUNT),
        unused(
            "partitionKeyIsolation",
            about="described; an index layout of Milvus, results are the same",
            kind=Kind.FLAG,
        ),
        unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        unused("warmup.", about=f"described; {_WARMED}", kind=Kind.TEXT),
        refused("ttlField", about="no time to live per row; set ttlSeconds of the collection"),
    ),
)
COLLECTION_PROPERTIES = ParameterTable(
    title="`collections/create`, `collections/alter_properties`: `properties`",
    where="properties",
    rows=(
        served(TTL, "ttl.seconds", about=_TTL, kind=Kind.AMOUNT),
        unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        unused("lazyload.enabled", about="described; nothing is preloaded", kind=Kind.FLAG),
        unused("warmup.", about=f"described; {_WARMED}", kind=Kind.TEXT),
        unused(
            "partitionkey.isolation",
            about="described; an index layout of Milvus, results are the same",
            kind=Kind.FLAG,
        ),
        unused("collection.replica.number", "replica.number", about=f"described; {ONE_PROCESS}", kind=Kind.AMOUNT),
        unused("collection.resource_groups", about=f"described; {ONE_PROCESS}", kind=Kind.TEXT),
        served("timezone", about=_TIMEZONE, kind=Kind.TEXT),
        refused("ttl_field", about="no time to live per row; set ttlSeconds of the collection"),
        refused("allow_insert_auto_id", about="files cannot contain automatic ids", kind=Kind.FLAG),
        refused("dynamicfield.enabled", about="use enableDynamicField of the schema"),
        refused(
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
    title="`databases/create`, `databases/alter_properties`: `properties`",
    where="properties",
    rows=(
        unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        unused("database.replica.number", about=f"described; {ONE_PROCESS}", kind=Kind.AMOUNT),
        unused("database.resource_groups", about=f"described; {ONE_PROCESS}", kind=Kind.TEXT),
        served("timezone", about="that of new collections, unless they have their own", kind=Kind.TEXT),
        refused(
            *("database.force.deny.reading", "database.force.deny.writing"),
            about="control access with roles of the database",
            kind=Kind.FLAG,
        ),
        refused("database.max.collections", "database.diskQuota.", about="limits are set per org: penstock orgs set"),
    ),
)
FIELD_PARAMS = ParameterTable(
    title="`collections/create`, `collections/fields/add`: `elementTypeParams`; `typeParams` of struct fields",
    where="elementTypeParams",
    rows=(
        served("dim", about="dimensions of dense vectors"),
        served("max_length", about="maximum bytes of VarChar values, also in arrays; ignored for other types"),
        served("max_capacity", about="maximum elements of arrays; ignored for other types"),
        unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        unused("warmup", about=f"described; {_WARMED}", kind=Kind.TEXT),
        served(
            "enable_analyzer", about="texts may be the input of a BM25 function; VarChar fields only", kind=Kind.FLAG
        ),
        served(
            "enable_match", about="filters may use text_match and phrase_match; needs enable_analyzer", kind=Kind.FLAG
        ),
        served(
            "analyzer_params",
            about="the analyzer, see [text analysis](full-text-search.md#text-analysis); default standard",
            kind=Kind.OBJECT,
        ),
        refused("multi_analyzer_params", about="one analyzer per field: use analyzer_params"),
    ),
)
FIELD_PROPERTIES = ParameterTable(
    title="`collections/fields/alter_properties`: `fieldParams`",
    where="fieldParams",
    rows=(
        served(
            "max_length", about="most bytes of VarChar values from now on; rows that are there stay", kind=Kind.COUNT
        ),
        served(
            "max_capacity", about="most elements of arrays from now on; rows that are there stay", kind=Kind.COUNT
        ),
        unused("mmap.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        unused("warmup", about=f"described; {_WARMED}", kind=Kind.TEXT),
    ),
)
INDEX_PROPERTIES = ParameterTable(
    title="`indexes/alter_properties`: `properties`",
    where="properties of an index",
    rows=(
        unused("mmap.enabled", "indexoffsetcache.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        unused("warmup", about=f"described; {_WARMED}", kind=Kind.TEXT),
    ),
)
_DISK = frozenset({"DISKANN", "AISAQ"})
_CODED = frozenset({"HNSW_SQ", "HNSW_PQ", "HNSW_PRQ", "IVF_RABITQ", "SCANN"})
_INSTEAD = "another index type is built instead, see [indexes](indexes.md)"
INDEX_PARAMS = ParameterTable(
    title="`indexParams`: `params`",
    where="params of an index",
    rows=(
        served(
            "index_type", "metric_type", about="the same as indexType and metricType outside params", kind=Kind.TEXT
        ),
        served("nlist", about="partitions of an IVF index, 1 to 65,536", types=NLIST_INDEXES),
        served("M", about="neighbours per node of a graph, 2 to 2,048", types=GRAPH_INDEXES),
        served("efConstruction", about="candidates during graph construction", types=GRAPH_INDEXES),
        served("m", about="codes per vector, a divisor of the dimension", types=PRODUCT_INDEXES),
        served("nbits", about="bits per code: up to 4 are built as 4, more as 8", types=PRODUCT_INDEXES),
        unused(
            *("m", "nbits", "nrq", "sq_type", "refine", "refine_type", "rbq_bits_query", "with_raw_data"),
            about="codes have 8 bits (IVF_RABITQ: 1), and candidates are re-ranked by their exact vectors",
            types=_CODED,
        ),
        unused(
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
        unused(
            *("intermediate_graph_degree", "graph_degree", "build_algo", "cache_dataset_on_device", "adapt_for_cpu"),
            about=_INSTEAD,
            types=frozenset({"GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_BRUTE_FORCE"}),
        ),
        unused(
            *("drop_ratio_build", "inverted_index_algo"),
            about="sparse vectors are searched exactly",
            types=SPARSE_INDEXES,
        ),
        unused(
            *("min_gram", "max_gram", "bitmap_cardinality_limit"),
            about=_INSTEAD,
            types=frozenset({"NGRAM", "HYBRID"}),
        ),
        unused("mmap.enabled", "indexoffsetcache.enabled", about=f"described; {_MAPPED}", kind=Kind.FLAG),
        unused("warmup", about=f"described; {_WARMED}", kind=Kind.TEXT),
        refused(
            *("json_path", "json_cast_type", "json_cast_function"),
            about="indexes on a path of a JSON field are not supported by this server",
        ),
        served("bm25_k1", about="weight of repeated terms in BM25, 0 to 3; default 1.2", types=SPARSE_INDEXES),
        served("bm25_b", about="weight of a text's length in BM25, 0 to 1; default 0.75", types=SPARSE_INDEXES),
        unused("bm25_avgdl", about="the average length is always that of the rows", types=SPARSE_INDEXES),
    ),
)
QUERY_PARAMS = ParameterTable(
    title="gRPC `Query`: `query_params`",
    where="query_params",
    rows=(
        served("limit", "offset", about="which of the rows in order of the primary key", kind=Kind.AMOUNT),
        served("collection_id", about="the collection that an iterator began with must still have the name"),
        served("iterator", about="a page has all rows of its last primary key", kind=Kind.FLAG),
        unused(
            "reduce_stop_for_best", about="a result has as many rows as there are, up to the limit", kind=Kind.FLAG
        ),
        unused("ignore_growing", about="every visible row is sealed", kind=Kind.FLAG),
        served("cluster_id", about="must be that of the credentials", kind=Kind.TEXT),
        served("timezone", about=_REQUEST_TIMEZONE, kind=Kind.TEXT),
        refused("time_fields", about="parts of times are not extracted: use Timestamptz fields as text"),
        refused("order_by_fields", "group_by_fields", about="order and group the rows in the client"),
        refused(
            "query_iter_last_pk", "query_iter_last_element_offset", about="filters select rows, not their elements"
        ),
    ),
)
SEARCH_PARAMS = ParameterTable(
    title="`entities/search`: `searchParams`, its `params`, and top-level `params`",
    where="searchParams",
    rows=(
        served("metric_type", "metricType", about="must be the index's metric"),
        served("radius", "range_filter", about="bounds of the score"),
        served("nprobe", about="number of partitions of an IVF index to search", kind=Kind.COUNT),
        served("ef", "search_list", about="candidates in a graph", kind=Kind.COUNT),
        served("level", about="1 to 10: multiple of the default effort", kind=Kind.COUNT),
        served(
            "refine_k",
            about="candidates to re-rank by their exact vectors, as a multiple of the limit",
            kind=Kind.NUMBER,
        ),
        served("reorder_k", about="candidates to re-rank by their exact vectors", kind=Kind.COUNT),
        unused("ignore_growing", "ignoreGrowing", about="every visible row is sealed", kind=Kind.FLAG),
        unused("hints", about="filters are always exact", kind=Kind.TEXT),
        unused(
            # The second in searches of Milvus's tutorials.
            *("drop_ratio_search", "drop_ratio_build"),
            about="sparse vectors are searched exactly",
            kind=Kind.NUMBER,
        ),
        unused("dim_max_score_ratio", about="sparse vectors are searched exactly", kind=Kind.NUMBER),
        unused("max_empty_result_buckets", about="a range search considers everything in range", kind=Kind.COUNT),
        unused(
            *("itopk_size", "search_width", "min_iterations", "max_iterations", "team_size", "beamwidth"),
            *("rbq_query_bits", "vectors_beam_width"),
            about="tunes index types for which others are built, see [indexes](indexes.md)",
        ),
        served(
            "group_by_field",
            about="scalar field whose values make groups; the limit counts groups. They are made of the nearest "
            "65,536 rows, of fewer with over 16 query vectors: with fewer groups among them, the result has fewer",
            kind=Kind.TEXT,
        ),
        served("group_size", about="rows per group, 1 to 10; default 1", kind=Kind.COUNT),
        served("strict_group_size", about="whether to look further for groups with fewer rows", kind=Kind.FLAG),
        served("timezone", about=_REQUEST_TIMEZONE, kind=Kind.TEXT),
        refused("time_fields", about="parts of times are not extracted: use Timestamptz fields as text"),
        served("round_decimal", about="decimals of scores, 0 to 6; -1 leaves them as they are", kind=Kind.AMOUNT),
        unused("page_retain_order", about="the order of rows does not depend on the page", kind=Kind.FLAG),
        refused(
            *("search_iter_id", "search_iter_batch_size", "search_iter_last_bound"),
            about="search iterators are served over gRPC only; over REST page with radius and range_filter",
        ),
        refused(
            *("iterator", "search_iter_v2"),
            about="search iterators are served over gRPC only; over REST page with radius and range_filter",
            kind=Kind.FLAG,
        ),
        refused("order_by_fields", "group_by_fields", about="rows are ordered by their scores; group by one field"),
        refused("json_path", "json_type", "strict_cast", about="groups are made by scalar fields only"),
        refused("enable_recall_calculation", about="recall is not calculated", kind=Kind.FLAG),
        refused("analyzer_name", about="one analyzer per field: texts of a search take that of the field"),
    ),
)
RANK_PARAMS = ParameterTable(
    title="gRPC `HybridSearch`: `rank_params`",
    where="rank_params",
    rows=(
        served("limit", "offset", about="which of the rows or groups in order of the fused scores", kind=Kind.AMOUNT),
        served("strategy", about="`rrf`, which is the default, or `weighted`", kind=Kind.TEXT),
        served(
            "params",
            about="a JSON object: for `rrf` `k`, above 0 and below 16,384, default 60; for `weighted` `weights`, one "
            "from 0 to 1 per search, and `norm_score`, default false",
            kind=Kind.TEXT,
        ),
        served("round_decimal", about="decimals of fused scores, 0 to 6; -1 leaves them as is", kind=Kind.AMOUNT),
        served("group_by_field", about="scalar field whose values make groups, in each search too", kind=Kind.TEXT),
        served("group_size", about="rows per group, 1 to 10; default 1", kind=Kind.COUNT),
        served("strict_group_size", about="whether groups with fewer rows are left out", kind=Kind.FLAG),
        served(
            "rank_group_scorer",
            about="groups in order of the `max` (default), `sum` or `avg` of their rows' scores",
            kind=Kind.TEXT,
        ),
        served("cluster_id", about="must be that of the credentials", kind=Kind.TEXT),
    ),
)
ITERATOR_PARAMS = ParameterTable(
    title="gRPC `Search`: `search_params` of search iterators",
    where="search_params of an iterator",
    rows=(
        served("iterator", about="search exactly, without an index, so that no page misses a row", kind=Kind.FLAG),
        served("search_iter_v2", about="the response says where the next page begins", kind=Kind.FLAG),
        served(
            "search_iter_batch_size",
            about="rows of a page; more if the last ones have equal scores, fewer on the last page",
            kind=Kind.AMOUNT,
        ),
        served("search_iter_last_bound", about="the score at which the page before ended", kind=Kind.NUMBER),
        served("search_iter_id", about="the token of the first page; of this search and no other", kind=Kind.TEXT),
        unused("guarantee_timestamp", about=f"of the Node.js client; {READS_ARE_STRONG}", kind=Kind.AMOUNT),
    ),
)
