"""Add a column to a table: rows that are there read as the new field's default, or null without one.

Columns without a default take no file: Lance reads null where a fragment has no data of a column. A default is
written next to the rows of every fragment, so that filters, indexes and searches need no change.

The default also stands in the column's metadata. A job may have staged its files before the column was added: when
they are published they lack it, and :func:`with_defaults` adds it to them. Column, metadata and defaults of the
rows that are there come in one Merge, which conflicts with each publish, delete and compaction that was committed
meanwhile, as publishes do among themselves (:mod:`penstock.engines.lance.write.publish`).

Files of an attempt that another process preempted are orphan files.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import lance
import pyarrow as pa
from lance.dataset import LanceDataset, LanceOperation
from lance.file import LanceFileWriter
from lance.fragment import DataFile, FragmentMetadata

from penstock.domain.arrow_schema import PARTITION_COLUMN
from penstock.domain.schema import Field
from penstock.engines.lance.layout.encoding import STORAGE_VERSION, WRITE_BATCH_BYTES, stored_type
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.names import stored_name
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.commit import retry_conflicts
from penstock.engines.values import Table

_DEFAULT = b"penstock:default"
"""Key of a column's metadata: the default as JSON."""
_MAX_BATCH_ROWS = 1 << 16


def add_field(store: TableRoot, table: Table, field: Field) -> int:
    doing = f"adding the field {field.name} to the table {table.id}"
    version = retry_conflicts(_attempt, store, table, _column(field), doing)
    with translating_errors(doing, store.options):
        store.sync_version(table.id, version)
    return version


def _attempt(store: TableRoot, table: Table, column: pa.Field[Any], doing: str) -> int:
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        if column.name in dataset.schema.names:
            present = dataset.schema.field(column.name)
            if (present.type, _default_of(present)) == (column.type, _default_of(column)):
                return int(dataset.version)
            # It is of no field: an addition left it whose catalog was lost.
            dataset.drop_columns([column.name])
        if _default_of(column) is None or not dataset.get_fragments():
            dataset.add_columns(pa.schema([column]))
            return int(dataset.version)
        transaction = lance.Transaction(
            read_version=int(dataset.version), operation=_with_column(store, table, dataset, column)
        )
        committed = LanceDataset.commit(
            store.uri(table.id), transaction, storage_options=store.options or None, max_retries=0
        )
    return int(committed.version)


def _with_column(
    store: TableRoot, table: Table, dataset: LanceDataset, column: pa.Field[Any]
) -> LanceOperation.Merge:
    """Write the default for the rows of each fragment."""
    fragments: list[FragmentMetadata] = []
    schema = None
    written = []
    for fragment in dataset.get_fragments():
        completed, schema = fragment.merge_columns(
            lambda batch: _defaults(column, len(batch)), columns=[PARTITION_COLUMN], batch_size=_batch_rows(column)
        )
        fragments.append(completed)
        present = {file.path for file in fragment.metadata.files}
        written += [f"data/{file.path}" for file in completed.files if file.path not in present]
    assert schema is not None, "the table has a fragment"
    store.files(table.id).sync(written)
    return LanceOperation.Merge(fragments, schema)


def with_defaults(
    store: TableRoot, table: Table, dataset: LanceDataset, staged: Sequence[FragmentMetadata]
) -> Sequence[FragmentMetadata]:
    """Add the defaults of columns to staged rows that lack them; changes the fragments, and returns them.

    A second call, on a newer version of the table, writes only columns that were added meanwhile.
    """
    columns = [(field.id(), dataset.schema.field(field.name())) for field in dataset.lance_schema.fields()]
    with_default = [(number, column) for number, column in columns if _default_of(column) is not None]
    written = []
    for fragment in staged:
        present = {number for file in fragment.files for number in file.fields}
        for number, column in with_default:
            if number not in present:
                file = _write_defaults(store, table, column, number, fragment.physical_rows)
                fragment.files.append(file)
                written.append(f"data/{file.path}")
    store.files(table.id).sync(written)
    return staged


def _write_defaults(store: TableRoot, table: Table, column: pa.Field[Any], number: int, rows: int) -> DataFile:
    name = f"{uuid.uuid4().hex}.lance"
    most = _batch_rows(column)
    with LanceFileWriter(
        f"{store.uri(table.id)}/data/{name}",
        pa.schema([column]),
        version=STORAGE_VERSION,
        storage_options=store.options or None,
    ) as writer:
        for start in range(0, rows, most):
            writer.write_batch(_defaults(column, min(most, rows - start)))
    major, minor = map(int, STORAGE_VERSION.split("."))
    sizes = store.files(table.id).sizes([f"data/{name}"])
    return DataFile(name, [number], [0], major, minor, sizes[f"data/{name}"])


def _column(field: Field) -> pa.Field[Any]:
    """The column of an added field: nullable, since jobs that began before it have no values of it."""
    metadata = None if field.default is None else {_DEFAULT: json.dumps(field.default).encode()}
    return pa.field(stored_name(field.name), stored_type(field), nullable=True, metadata=metadata)


def _default_of(column: pa.Field[Any]) -> bytes | None:
    return (column.metadata or {}).get(_DEFAULT)


def _defaults(column: pa.Field[Any], rows: int) -> pa.RecordBatch:
    default: Any = json.loads(_default_of(column) or b"null")
    values: Any = pa.repeat(pa.scalar(default, column.type), rows)
    return pa.RecordBatch.from_arrays([values], schema=pa.schema([column]))


def _batch_rows(column: pa.Field[Any]) -> int:
    return max(1, min(_MAX_BATCH_ROWS, WRITE_BATCH_BYTES // max(_defaults(column, 1).nbytes, 1)))
