"""Convert existing files to import files, for ``penstock convert``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.bulk_writer.connection import AzureConnectParam, S3ConnectParam
from penstock.bulk_writer.datasets import Selection
from penstock.bulk_writer.local_bulk_writer import LocalBulkWriter
from penstock.bulk_writer.progress import ProgressCallback
from penstock.bulk_writer.remote_bulk_writer import RemoteBulkWriter
from penstock.bulk_writer.writer import MB
from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import CollectionSchema
from penstock.errors import InvalidParameter, Unsupported
from penstock.sdk.client import Client
from penstock.sdk.schema import CollectionInfo, FieldInfo
from penstock.sources.credentials import settings_from_environment
from penstock.writers.file_type import BulkFileType

__all__ = ["ConversionResult", "convert", "fetch_schema", "open_writer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionResult:
    """Rows and files written; ``files`` has the form of the import calls' argument."""

    rows: int
    files: list[list[str]]


def convert(
    sources: Sequence[Any],
    schema: Any,
    out: str | Path,
    *,
    file_type: BulkFileType = BulkFileType.PARQUET,
    chunk_size: int = 128 * MB,
    config: Mapping[str, str] | None = None,
    columns: Selection = None,
    progress: ProgressCallback | None = None,
    progress_bar: bool = False,
) -> ConversionResult:
    """Convert files, folders or data sets to import files of a collection.

    Args:
        sources: as for :meth:`~penstock.bulk_writer.LocalBulkWriter.write_table`.
        schema: as for the writers.
        out: a folder, ``s3://bucket/folder`` or ``azure://container/folder``; credentials come from the environment
            (see :func:`open_writer`).
        columns: the columns to read, as names or ``{field: column}``.

    Raises:
        DataError: a row can't be imported; the error has file, row and field. Chunks completed before it stay.
        PenstockError: the source can't be read or the target can't be written.
    """
    writer = open_writer(
        out,
        schema,
        file_type=file_type,
        chunk_size=chunk_size,
        config=config,
        progress=progress,
        progress_bar=progress_bar,
    )
    with writer:
        for source in sources:
            writer.write_table(source, columns=columns)
    return ConversionResult(rows=writer.total_row_count, files=writer.batch_files)


def open_writer(out: str | Path, schema: Any, **options: Any) -> LocalBulkWriter | RemoteBulkWriter:
    """Create a writer for a folder or an object store address.

    ``s3://`` uses the standard ``AWS_*`` variables, ``AWS_ENDPOINT_URL`` for stores other than AWS; ``azure://`` uses
    ``AZURE_STORAGE_CONNECTION_STRING``.
    """
    scheme, separator, rest = str(out).partition("://")
    if not separator:
        return LocalBulkWriter(schema, out, **options)
    bucket, _, folder = rest.partition("/")
    if not bucket:
        raise InvalidParameter(f"{out}: name a bucket, as in {scheme}://bucket/folder")
    if scheme == "s3":
        settings = settings_from_environment(os.environ)
        endpoint = settings.get("endpoint")
        param = S3ConnectParam(
            bucket,
            endpoint=endpoint,
            access_key=settings.get("access_key_id"),
            secret_key=settings.get("secret_access_key"),
            session_token=settings.get("session_token"),
            region=settings.get("region"),
        )
        return RemoteBulkWriter(schema, folder, param, **options)
    if scheme in ("azure", "az"):
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
        if not connection:
            raise InvalidParameter(f"{out}: set AZURE_STORAGE_CONNECTION_STRING to the account's connection string")
        return RemoteBulkWriter(schema, folder, AzureConnectParam(bucket, connection), **options)
    hint = ". Google Cloud Storage: s3:// with AWS_ENDPOINT_URL=https://storage.googleapis.com and HMAC keys"
    raise Unsupported(f"{out}: {scheme}:// can't be written{hint if scheme in ('gs', 'gcs') else ''}", scheme=scheme)


def fetch_schema(url: str, collection: str, *, api_key: str = "", database: str = "default") -> CollectionSchema:
    """Fetch the schema of a collection from a server.

    Raises:
        penstock.sdk.errors.ImportCallError: the server can't be reached, or the collection does not exist.
        Unsupported: the collection has an unsupported type.
    """
    with Client(url, api_key, database=database) as client:
        return _schema_of(client.collections.describe(collection)).check(collection)


def _schema_of(info: CollectionInfo) -> CollectionSchema:
    computed = {
        name for function in info.raw.get("functions") or () for name in function.get("outputFieldNames") or ()
    }
    return schema_from_rest(
        {
            "autoId": info.auto_id,
            "enableDynamicField": info.dynamic,
            "fields": [
                _rest_field(field) for field in info.fields if field.name not in computed and not field.fields
            ],
            "structFields": [_rest_struct(field) for field in info.fields if field.fields],
        }
    )


def _rest_struct(field: FieldInfo) -> dict[str, Any]:
    # Milvus marks the fields of a nullable struct as nullable too; in a request only the struct may be.
    subfields = [{**_rest_field(subfield), "nullable": False} for subfield in field.fields]
    return {
        "fieldName": field.name,
        "nullable": field.nullable,
        "typeParams": dict(field.params),
        "fields": subfields,
    }


def _rest_field(field: FieldInfo) -> dict[str, Any]:
    return {
        "fieldName": field.name,
        "dataType": field.type,
        "elementDataType": field.element_type,
        "isPrimary": field.is_primary,
        "isPartitionKey": field.is_partition_key,
        "nullable": field.nullable,
        "defaultValue": field.default,
        "elementTypeParams": dict(field.params),
    }
