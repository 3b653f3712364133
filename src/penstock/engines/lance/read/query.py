"""Count and query rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from penstock.engines.lance.read.rows import IO_BUFFER, READAHEAD, output_columns, rows_within, take_rows
from penstock.engines.result_limit import ResultLimit
from penstock.engines.values import Table
from penstock.filters import Filter

_BATCH_ROWS = 8192


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
            key = table.schema.primary.name
            batches = matching(dataset, where, rest, {stored_name(key): quoted(key)})
            addresses = _sorted_addresses(batches, stored_name(key), limit, offset)
            return take_rows(dataset, addresses, table.schema, output, max_bytes)
        if limit is None:
            return _scan(dataset, table.schema, where, output, offset, max_bytes)
        return _page(dataset, table.schema, where, output, limit, offset, max_bytes)

    return store.read(table, doing, read)


def _sorted_addresses(batches: Iterable[pa.RecordBatch], key: str, limit: int | None, offset: int) -> pa.Array[Any]:
    """The addresses of a page of the rows, in the order of :func:`_by_key`.

    Holds at most twice as many as the page's end.
    """
    page_end = None if limit is None else limit + offset
    tables: list[pa.Table] = []
    rows = 0
    for batch in batches:
        check_deadline()
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
    """The rows in order of their keys, those with the same key in that of their addresses."""
    return pa.concat_tables(tables).sort_by([(key, "ascending"), ("_rowaddr", "ascending")])


def _page(
    dataset: LanceDataset,
    schema: CollectionSchema,
    where: str | None,
    columns: Sequence[str],
    limit: int,
    offset: int,
    max_bytes: int | None,
) -> pa.Table:
    """Sort keys and addresses alone, a heap of limit + offset, then fetch the rows: vectors are never sorted.

    Of rows with the same key, which Lance sorts in any order, each is on one page: where one begins or ends between
    them, all keys are read.
    """
    key = stored_name(schema.primary.name)
    before = min(offset, 1)
    around = dataset.scanner(
        columns=[key],
        filter=where,
        order_by=[key],
        limit=before + limit + 1,
        offset=offset - before,
        with_row_address=True,
    ).to_table()
    page = _by_key([around.slice(before, limit)], key)
    if _are_cut(around[key], before) or _are_cut(around[key], before + limit):
        keys = dataset.scanner(columns=[key], filter=where, with_row_address=True)
        addresses = _sorted_addresses(keys.to_batches(), key, limit, offset)
    elif list(columns) == [schema.primary.name]:
        rows = decode(page, schema, columns)
        ResultLimit(max_bytes).add(rows)
        return rows
    else:
        addresses = page["_rowaddr"].combine_chunks()
    return take_rows(dataset, addresses, schema, columns, max_bytes)


def _are_cut(keys: Any, place: int) -> bool:
    """Whether the keys before and at a place are equal."""
    return 0 < place < len(keys) and bool(keys[place - 1].equals(keys[place]))


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
        io_buffer = min(IO_BUFFER, max_bytes)
        bounds = {"batch_size": rows, "batch_readahead": READAHEAD, "io_buffer_size": io_buffer}
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
