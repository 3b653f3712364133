"""What users of Milvus, Zilliz Cloud and Pinecone change, and what differs for them.

``docs/drop-in.md`` is made from these tables and from those of calls and parameters in the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from docs.markdown import MADE, cell, keys_cell, markdown_table
from penstock.collections.parameters import Effect
from penstock.collections.unserved import UNSERVED as UNSERVED_CALLS
from penstock.wire.http import Route
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_v2.dialect import PREFIX
from penstock.wire.milvus_v2.parameter_docs import TABLES

__all__ = ["drop_in_page"]

ADDRESSES: Sequence[tuple[str, str]] = (
    (
        "pymilvus: `MilvusClient`, `connections.connect`",
        '`uri="http://127.0.0.1:19530"`, `token="KEY"` if there are keys',
    ),
    (
        "pymilvus: `bulk_import`, `list_import_jobs`, `get_import_progress`",
        '`url="http://127.0.0.1:19530"`, `api_key="KEY"`',
    ),
    ("the SDKs for Java, Go and Node", "the address and the token, as above; the port is that of the HTTP calls"),
    (
        "REST, `/v2/vectordb/…` of Milvus, `/v1/vector/collections/import…` of Zilliz Cloud",
        "the host; `Authorization: Bearer KEY`",
    ),
    ("`RemoteBulkWriter`, `LocalBulkWriter` of pymilvus", "nothing: their files are read as they are"),
)
"""Client, what changes."""

DIFFERENCES: Sequence[tuple[str, str, str]] = (
    ("Rows", "insert, upsert and delete of single rows", "import jobs only; the error of the other calls says so"),
    (
        "An import job",
        "the rows of one shard may be visible before those of another",
        "visible completely and at once, or not at all",
    ),
    ("A failed job", "a reason in short", "file, row, field, value and what to do; `importedRows` is 0"),
    (
        "Columns without a field",
        "dropped from Parquet and NumPy files",
        "become dynamic values; option `unknown_columns`",
    ),
    (
        "Unknown keys of parameters",
        "ignored",
        "refused with the nearest name; of import options: a warning of the job",
    ),
    ("An `offset` of a query without a limit", "ignored", "refused over gRPC"),
    ("Loading", "needed before a search", "accepted and shown; only a released collection refuses to be read"),
    (
        "Partitions",
        "loaded and released one by one; a loaded one can't be dropped",
        "share the state of their collection; a loaded one is dropped",
    ),
    ("Passwords", "changed with the old one", "an admin changes those of others without it"),
    (
        "Weighted hybrid search of clients before 2.5",
        "scores are normalised by a server of 2.4",
        "as by one of 2.6: only with `norm_score`, which these clients don't send",
    ),
    ("Consistency levels", "`Strong` to `Eventually`", "accepted; every read sees all imports completed before it"),
    ("Indexes", "needed before a load", "not needed: rows outside of an index are searched exactly"),
    ("Index types", "each its own", "the nearest of the engine, see [indexes](indexes.md)"),
    ("Search iterators", "use the index", "exact, so each page costs a scan of the field"),
    ("Rows with the same primary key", "of one result one of them", "all of them; a hybrid search fuses them to one"),
    ("Flush, compaction", "asked for", "automatic; the calls succeed at once"),
    ("Clustering keys", "rows are sorted by them", "accepted and described, without effect: rows stay as imported"),
    (
        "Geometry fields",
        "spatial functions in filters, RTREE indexes",
        "stored and returned as WKT; `st_…` in filters is refused, an RTREE index has no effect",
    ),
    (
        "Timestamptz fields",
        "filters with `ISO` and `INTERVAL`, time zones of databases, collections and requests; `time_fields`",
        "the same, exactly; `time_fields` is refused. A date alone is a time too",
    ),
    ("Replicas, resource groups, shards, mmap, warm-up", "tuned", "accepted without effect, or refused; see below"),
    (
        "Import roots",
        "the bucket of the cluster",
        "folders, buckets and web servers that the server may read: `--import-root`",
    ),
)
"""Subject, there, here."""

UNSERVED_KINDS: Sequence[tuple[str, str]] = (
    ("Searches within arrays of structs", "such fields are imported and returned"),
    ("Indexes on a path of a JSON field", "filters on JSON work without"),
    ("Roles and privileges of your own", "`admin`, `writer` and `reader` are built in"),
)
"""What has no call or parameter of its own."""

PINECONE_CALLS: Sequence[tuple[str, str]] = (
    ("index", "collection"),
    ("namespace", "partition; or a field that is the partition key"),
    ("`start_import(uri)`", "`POST /v2/vectordb/jobs/import/create`, `penstock import FOLDER/*.parquet`"),
    ("`list_imports()`, `describe_import(id)`", "`jobs/import/list`, `jobs/import/describe`"),
    ("`cancel_import(id)`", "`jobs/import/abort`; rows of the job are removed"),
    (
        '`query(vector=…, filter={"year": {"$gt": 2000}})`',
        '`entities/search` with the filter `metadata["year"] > 2000`',
    ),
    ("`query(id=…)`", "`entities/search` with `ids`"),
    ("`fetch(ids)`", "`entities/get`"),
)
PINECONE_COLUMNS: Sequence[tuple[str, str]] = (
    ("`id`", "`VarChar`, the primary key"),
    ("`values`", "`FloatVector`"),
    ("`sparse_values`", "`SparseFloatVector`; structs of `indices` and `values` are taken as they are"),
    ("`metadata`", "`JSON`"),
)


def drop_in_page(routes: Iterable[Route], methods: Iterable[GrpcMethod]) -> str:
    """Write ``docs/drop-in.md``, which counts the served calls of ``routes`` and ``methods``."""
    refused_routes = {f"{PREFIX}/{call}" for call in UNSERVED_CALLS}
    served_calls = sum(route.path.startswith("/v2/") and route.path not in refused_routes for route in routes)
    served_methods = sum(not method.refusal for method in methods)
    keys = [
        (f"{keys_cell(row)} of {table.title}", cell(row.about))
        for table in TABLES
        for row in table.rows
        if row.effect is Effect.REFUSED
    ]
    alternatives: dict[str, list[str]] = {}
    for call, alternative in UNSERVED_CALLS.items():
        alternatives.setdefault(alternative, []).append(f"`{call}`")
    calls = [(", ".join(names), cell(alternative)) for alternative, names in alternatives.items()]
    reasons: dict[str, list[str]] = {}
    for table in TABLES:
        for row in table.rows:
            if row.effect is Effect.NONE and row.names != ("any other",):
                reasons.setdefault(row.about.removeprefix("described; "), []).append(keys_cell(row))
    unused = [
        (", ".join(dict.fromkeys(", ".join(names).split(", "))), cell(about)) for about, names in reasons.items()
    ]
    return f"""# Coming from Milvus, Zilliz Cloud or Pinecone
{MADE}
## What to change

{markdown_table(["Client", "Change"], ADDRESSES)}
Programs that only import may also use [Penstock's own client](python.md), which has the calls of all of them.

## What is the same

{served_calls} REST calls ([all of them](endpoints.md)) and {served_methods} gRPC calls ([all of them](grpc.md)), with
the fields, types, states, error numbers and texts of Milvus and Zilliz Cloud; the [forms](types.md) of values in
files; the language of filters, with templates. Released clients run against it in the tests.

## What differs

{markdown_table(["Subject", "Milvus", "Penstock"], DIFFERENCES)}
## What has no effect

These keys are accepted and described. [Parameters](parameters.md) has them by call.

{markdown_table(["Keys", "Reason"], unused)}
## What is refused

With an error that names the alternative. gRPC calls that are not served: [grpc.md](grpc.md#not-served).

{markdown_table(["Call", "Alternative"], calls)}
{markdown_table(["Key", "Alternative"], keys)}
{markdown_table(["Kind", "Alternative"], UNSERVED_KINDS)}
## Pinecone

There is no dialect of Pinecone; its import files can be used as they are, or with their metadata taken apart
([moving](moving.md)). A collection with these fields takes them:

{markdown_table(["Column", "Field"], PINECONE_COLUMNS)}
{markdown_table(["Pinecone", "Penstock"], PINECONE_CALLS)}"""
