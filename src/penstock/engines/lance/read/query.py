"""Count and query rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from lance.dataset import LanceDataset

from penstock.domain.arrow_schema import PARTITION_COLUMN
from penstock.domain.deadline import check_deadline
from penstock.domain.schema import CollectionSchema
from penstock.engines.lance.layout.encoding import JOB_COLUMN, decode
from penstock.engines.lance.layout.names import quoted, stored_name
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.read.batch_filter import matching
from penstock.engines.lance.read.filter_pushdown import SCAN_WEIGHT, split
from penstock.engines.lance.read.filter_sql import to_sql
from penstock.engines.lance.read.row_expiry import not_expired
from penstock.engines.lance.read.rows import output_columns, rows_within, take_rows
from penstock.engines.result_limit import ResultLimit
from penstock.engines.values import Table
from penstock.filters import Filter

_BATCH_ROWS = 8192
_READAHEAD = 2
_IO_BUFFER = 64 << 20
"""Bytes read ahead of decoding; Lance's default is 2 GB."""


def condition(table: Table, filter: Filter | None, partitions: Sequence[int] | None) -> str | None:
    """The WHERE clause of a filter and partitions, or None for all rows. An empty list of these matches nothing."""
    parts = [] if table.expiry is None else [not_expired(table.expiry)]
    if partitions is not None:
        numbers = ", ".join(str(int(partition)) for partition in partitions)
        parts.append(f"`{PARTITION_COLUMN}` IN ({numbers})" if numbers else "false")
    if filter is not None:
        parts.append(f"({to_sql(filter, table.schema)})")
    return " AND ".join(parts) or None


def count(store: TableRoot, table: Table, filter: Filter | None, partitions: Sequence[int] | None) -> int:
    doing = f"counting rows of the table {table.id}"
    pushed, rest = split(filter, SCAN_WEIGHT)
    where = condition(table, pushed, partitions)

    def read(dataset: LanceDataset) -> int:
        if rest is not None:
            return sum(map(len, matching(dataset, where, rest, {})))
        return int(dataset.count_rows(where))

    return store.read(table, doing, read)


def job_rows(store: TableRoot, table: Table, job_id: int) -> int:
    doing = f"counting rows of job {job_id} in the table {table.id}"
    return store.read(table, doing, lambda dataset: int(dataset.count_rows(f"`{JOB_COLUMN}` = {job_id}")))


def query(
    store: TableRoot,
    table: Table,
    *,
    filter: Filter | None,
    partitions: Sequence[int] | None,
    columns: Sequence[str],
    limit: int | None,
    offset: int,
    max_bytes: int | None,
) -> pa.Table:
    doing = f"reading the table {table.id}"
    output = output_columns(table.schema, columns)
    pushed, rest = split(filter, SCAN_WEIGHT)
    where = condition(table, pushed, partitions)

    def read(dataset: LanceDataset) -> pa.Table:
        if rest is not None:
            addresses = _sorted_addresses(dataset, table.schema, where, rest, limit, offset)
            return take_rows(dataset, addresses, table.schema, output, max_bytes)
        if limit is None:
            return _scan(dataset, table.schema, where, output, offset, max_bytes)
        return _page(dataset, table.schema, where, output, limit, offset, max_bytes)

    return store.read(table, doing, read)


def _sorted_addresses(
    dataset: LanceDataset,
    schema: CollectionSchema,
    where: str | None,
    rest: Filter,
    limit: int | None,
    offset: int,
) -> pa.Array[Any]:
    """Addresses of the matching rows in key order; holds at most twice as many as the page's end."""
    key = stored_name(schema.primary.name)
    page_end = None if limit is None else limit + offset
    tables: list[pa.Table] = []
    rows = 0
    for batch in matching(dataset, where, rest, {key: quoted(schema.primary.name)}):
        tables.append(pa.Table.from_batches([batch]))
        rows += len(batch)
        if page_end is not None and rows >= 2 * page_end + len(batch):
            tables = [_by_key(tables, key).slice(0, page_end)]
            rows = len(tables[0])
    if not tables:
        return pa.array([], pa.uint64())
    page = _by_key(tables, key).slice(offset, limit)
    return page["_rowaddr"].combine_chunks()


def _by_key(tables: Sequence[pa.Table], key: str) -> pa.Table:
    return pa.concat_tables(tables).sort_by(key)


def _page(
    dataset: LanceDataset,
    schema: CollectionSchema,
    where: str | None,
    columns: Sequence[str],
    limit: int,
    offset: int,
    max_bytes: int | None,
) -> pa.Table:
    """Sort keys and addresses alone, a heap of limit + offset, then fetch the rows: vectors are never sorted."""
    key = stored_name(schema.primary.name)
    page = dataset.scanner(
        columns=[key], filter=where, order_by=[key], limit=limit, offset=offset, with_row_address=True
    ).to_table()
    if list(columns) == [schema.primary.name]:
        return decode(page, schema, columns)
    return take_rows(dataset, page["_rowaddr"].combine_chunks(), schema, columns, max_bytes)


def _scan(
    dataset: LanceDataset,
    schema: CollectionSchema,
    where: str | None,
    columns: Sequence[str],
    offset: int,
    max_bytes: int | None,
) -> pa.Table:
    bounds: dict[str, Any] = {}
    if max_bytes is not None and (rows := rows_within(schema, columns, max_bytes)) < _BATCH_ROWS:
        io_buffer = min(_IO_BUFFER, max_bytes)
        bounds = {"batch_size": rows, "batch_readahead": _READAHEAD, "io_buffer_size": io_buffer}
    scanner = dataset.scanner(columns=[stored_name(name) for name in columns], filter=where, **bounds)
    result = ResultLimit(max_bytes)
    tables = [decode(pa.Table.from_batches([], scanner.projected_schema), schema, columns)]
    for batch in scanner.to_batches():
        check_deadline()
        tables.append(decode(pa.Table.from_batches([batch]), schema, columns))
        result.add(tables[-1])
    found = pa.concat_tables(tables)
    ranks = pc.sort_indices(found[schema.primary.name])
    return found.take(ranks[offset:])
