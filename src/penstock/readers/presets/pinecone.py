"""Records of Pinecone: Parquet files of ``id``, ``values``, ``sparse_values`` and ``metadata``, as its import takes.

The metadata, an object as JSON text, is taken apart: its keys are columns beside the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from penstock.domain.jobs import FileRange
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import BoundaryScan, FormatSpec, Reader, ReadRequest, RowBatch, Sample, SampleRequest
from penstock.readers.columns.row_builder import RowBuilder
from penstock.readers.json.samples import sample_records
from penstock.readers.origins import rejected_rows
from penstock.readers.parquet.reader import PARQUET
from penstock.readers.unknown_columns import UnknownColumns
from penstock.rules.bad_rows import BadRows, take_rows

_METADATA = "metadata"
_COLUMNS = ("id", "values", "sparse_values")
_NO_METADATA = b"{}"


@dataclass(frozen=True, slots=True)
class _PineconeReader:
    """Reader of Parquet files whose column ``metadata`` is unpacked; ranges are those of ``reader``."""

    reader: Reader = PARQUET.reader

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        return self.reader.plan(_file_request(request), split_bytes)

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        unpacked = None if _METADATA in request.schema.names else _metadata_schema(request.schema)
        for batch in self.reader.read(_file_request(request), spec):
            yield batch if unpacked is None else _with_metadata(batch, replace(request, schema=unpacked))

    def sample(self, request: SampleRequest) -> Sample:
        sample = self.reader.sample(request)
        metadata = sample.columns.get(_METADATA)
        if metadata is None:
            return sample
        name = request.sources[0].name
        texts = _texts(metadata, name)
        all_rows = replace(request, max_rows=len(texts) + 1, max_bytes=sum(map(len, texts)) + 1)
        inner = sample_records(all_rows, [[(0, text) for text in texts]])
        if twice := inner.columns.keys() & sample.columns.keys():
            raise _two_values(sorted(twice)[0]).at(file=name)
        columns = {key: values for key, values in sample.columns.items() if key != _METADATA}
        return replace(
            sample,
            columns={**columns, **inner.columns},
            has_all_columns=sample.has_all_columns and inner.has_all_columns,
        )


def _file_request(request: ReadRequest) -> ReadRequest:
    """The request for the columns as the file has them; others than Pinecone's are refused."""
    schema = request.schema
    fields = [field for field in schema if field.name in (*_COLUMNS, _METADATA)]
    if _METADATA not in schema.names:
        fields.append(Field(name=_METADATA, type=DataType.JSON, nullable=True))
    return replace(
        request,
        schema=CollectionSchema(fields=tuple(fields)),
        unknown_columns=UnknownColumns.ERROR,
        excluded_columns=request.excluded_columns | (set(_COLUMNS) - set(schema.names)),
        required_columns=request.required_columns & {*_COLUMNS, _METADATA},
    )


def _metadata_schema(schema: CollectionSchema) -> CollectionSchema:
    """The fields whose values are in the metadata."""
    fields = tuple(field for field in schema if field.name not in _COLUMNS and not schema.is_computed(field))
    return CollectionSchema(fields=fields, dynamic=schema.dynamic)


def _with_metadata(batch: RowBatch, request: ReadRequest) -> RowBatch:
    """Replace the column of metadata by the columns of its keys."""
    records = batch.batch
    at = records.schema.get_field_index(_METADATA)
    metadata = records.column(at) if at >= 0 else pa.nulls(records.num_rows, pa.string())
    name = request.sources[0].name
    rest = records.drop_columns([_METADATA]) if at >= 0 else records
    inner_request = replace(request, required_columns=frozenset())
    try:
        rows = [(0, text) for text in _texts(metadata, name)]
        inner = list(RowBuilder(inner_request).batches([rows]))
    except DataError as error:
        raise error.at(row=batch.first_row + (error.row or 0), offset=None) from None
    if not inner:
        return replace(batch, batch=rest)
    bad = BadRows()
    for reject in (reject for part in inner for reject in part.rejects):
        for reason in reject.errors:
            bad.add(reject.row, reason.at(offset=None))
    rejects = rejected_rows(bad, batch.first_row, records)
    kept = bad.kept(records.num_rows)
    rest = take_rows(rest, kept) if rejects else rest
    inner_columns = pa.Table.from_batches([part.batch for part in inner]).combine_chunks()
    fields = [*rest.schema, *inner_columns.schema]
    arrays = [*rest.columns, *(column.combine_chunks() for column in inner_columns.columns)]
    columns = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
    numbers = batch.first_row + kept if rejects else None
    return replace(batch, batch=columns, rows=numbers, rejects=rejects, origin=None)


def _texts(metadata: Any, name: str) -> list[bytes]:
    kind = metadata.type
    if not (pt.is_string(kind) or pt.is_large_string(kind) or pt.is_null(kind)):
        raise DataError(
            f"the column is {kind}, and the metadata of Pinecone's files is JSON text",
            file=name,
            field=_METADATA,
            remedy="Leave from_format out for a Parquet file of another program",
        )
    return [_NO_METADATA if text is None else text.encode() for text in metadata.to_pylist()]


def _two_values(key: str) -> DataError:
    return DataError(
        "two values for one column: the metadata holds a key that is also a column",
        field=key,
        remedy="Rename it before the export",
    )


PINECONE = FormatSpec(name="Pinecone", extensions=("parquet",), reader=_PineconeReader(), counts_rows=True)
