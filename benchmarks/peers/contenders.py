"""The contenders of the benchmarks, with what each one does per row."""

from __future__ import annotations

from benchmarks.peers.penstock import Penstock
from benchmarks.peers.pgvector import Pgvector
from benchmarks.peers.program import Program

__all__ = ["CHROMA", "DECODE", "DECODE_WRITE", "LANCEDB", "MILVUS", "MILVUS_LITE", "PENSTOCK", "PGVECTOR", "QDRANT"]

_ALL_FORMATS = frozenset({"parquet", "json", "jsonl", "csv", "npy"})
_ARRAYS = frozenset({"parquet", "npy"})

PENSTOCK = Penstock(
    title="Penstock",
    does="import over HTTP; every value checked against the schema; all rows or none; fsync before rows are visible",
)
DECODE = Program(
    title="limit: decode",
    does="a process per core decodes the file into arrays; nothing is written or checked",
    formats=_ALL_FORMATS,
    module="limit",
    packages=("pyarrow", "pysimdjson"),
    extra={"write": False},
)
DECODE_WRITE = Program(
    title="limit: decode + write",
    does="the same, and the arrays' bytes are written to a file per process, with fsync; nothing is checked or found",
    formats=_ALL_FORMATS,
    module="limit",
    packages=("pyarrow", "pysimdjson"),
    extra={"write": True},
)
MILVUS = Program(
    title="Milvus 2.3.5",
    does="standalone server, bulk insert of files in its storage, asked for its state every 0.2 s; checked; segments "
    "are flushed to local storage",
    formats=frozenset({"parquet", "json", "npy"}),
    module="milvus",
    packages=("milvus", "pymilvus"),
    environment="milvus",
    indexes=True,
)
MILVUS_LITE = Program(
    title="Milvus Lite",
    does="embedded; rows inserted 5,000 at a time by the client, which checks them; flush at the end",
    formats=_ARRAYS,
    module="milvus_lite",
    packages=("milvus-lite", "pymilvus"),
    environment="milvus-lite",
    indexes=True,
)
LANCEDB = Program(
    title="LanceDB",
    does="embedded; table.add of a stream of Arrow batches; types are checked, values aren't; no fsync",
    formats=_ARRAYS,
    module="lance_db",
    packages=("lancedb", "pyarrow"),
    environment="lancedb",
    indexes=True,
)
CHROMA = Program(
    title="Chroma",
    does="embedded, persistent client; rows added in its largest batches; builds its HNSW index as it goes, so "
    "countable is indexed",
    formats=_ARRAYS,
    module="chroma",
    packages=("chromadb",),
    environment="chroma",
)
PGVECTOR = Pgvector(
    title="pgvector",
    does="PostgreSQL server, one COPY (binary; CSV as text) into a table without a key; checked; logged with fsync",
)
QDRANT = Program(
    title="Qdrant, local mode",
    does="embedded in the client; points uploaded in batches; each is a commit of SQLite, with fsync; no index",
    formats=_ARRAYS,
    module="qdrant",
    packages=("qdrant-client",),
    environment="qdrant",
)
