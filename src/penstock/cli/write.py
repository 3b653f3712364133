"""``penstock write``: existing files made into import files."""

from __future__ import annotations

import re
import sys

import click

from penstock.bulk_writer.convert import convert, fetch_schema, read_schema
from penstock.bulk_writer.file_type import BulkFileType
from penstock.cli.connecting import DEFAULT_URL
from penstock.domain.schema import CollectionSchema
from penstock.errors import PenstockError
from penstock.sdk.errors import SdkError

__all__ = ["write"]

_TYPES = {each.name.lower(): each for each in BulkFileType}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _bytes(_context: click.Context, _option: click.Parameter, value: str) -> int:
    """``134217728``, ``128MB``, ``1.5 GiB``."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?\s*", value, re.IGNORECASE)
    if found is None or float(found[1]) <= 0:
        raise click.BadParameter(f"{value!r} is not a size; write 128MB or 1GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--schema", "schema_file", metavar="FILE", help="JSON file with the collection's REST schema.")
@click.option("--collection", metavar="NAME", help="Take the schema of this collection of the server.")
@click.option(
    "--url",
    envvar="PENSTOCK_URL",
    default=DEFAULT_URL,
    metavar="URL",
    show_default=True,
    help="Server that has the collection.",
)
@click.option("--api-key", envvar="PENSTOCK_API_KEY", default="", help="API key, or user:password.")
@click.option("--database", default="default", show_default=True, help="Database of the collection.")
@click.option(
    "--out", required=True, metavar="DIR|URL", help="Folder, s3://bucket/folder or azure://container/folder."
)
@click.option("--type", "type_name", type=click.Choice(list(_TYPES)), default="parquet", show_default=True)
@click.option(
    "--chunk-size",
    callback=_bytes,
    metavar="SIZE",
    default="128MB",
    show_default=True,
    help="Bytes of rows per file.",
)
@click.option(
    "--column", "columns", multiple=True, metavar="FIELD[=COLUMN]", help="Take only these columns; may be repeated."
)
@click.option("--sep", help="CSV: separator. Default: comma.")
@click.option("--nullkey", help="CSV: text of null cells. Default: empty.")
@click.option("--progress/--no-progress", default=None, help="Draw a bar. Default: on a terminal.")
def write(
    inputs: tuple[str, ...],
    schema_file: str | None,
    collection: str | None,
    url: str,
    api_key: str,
    database: str,
    out: str,
    type_name: str,
    chunk_size: int,
    columns: tuple[str, ...],
    sep: str | None,
    nullkey: str | None,
    progress: bool | None,
) -> None:
    """Convert files into import files of a collection.

    INPUT is a Parquet, Arrow, CSV, JSON, JSON Lines or NumPy file, or a folder of such files. The names of the files
    that were written go to the standard output, one chunk per line, as the import calls take them.
    """
    config = {key: value for key, value in (("sep", sep), ("nullkey", nullkey)) if value is not None}
    try:
        done = convert(
            inputs,
            _schema(schema_file, collection, url, api_key, database),
            out,
            file_type=_TYPES[type_name],
            chunk_size=chunk_size,
            config=config,
            columns=_selection(columns),
            progress_bar=sys.stderr.isatty() if progress is None else progress,
        )
    except (PenstockError, SdkError) as error:
        raise click.ClickException(str(error)) from None
    for files in done.files:
        click.echo(",".join(files))
    click.echo(f"{done.rows} rows in {sum(map(len, done.files))} files", err=True)


def _schema(
    schema_file: str | None, collection: str | None, url: str, api_key: str, database: str
) -> CollectionSchema:
    if (schema_file is None) == (collection is None):
        raise click.UsageError("Give either --schema FILE or --collection NAME.")
    if schema_file is not None:
        return read_schema(schema_file)
    assert collection is not None
    return fetch_schema(url, collection, api_key=api_key, database=database)


def _selection(columns: tuple[str, ...]) -> dict[str, str] | None:
    if not columns:
        return None
    pairs = (each.partition("=") for each in columns)
    return {field: column or field for field, _, column in pairs}
