"""``penstock convert``: convert existing files to import files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from penstock.bulk_writer.convert import convert as convert_files
from penstock.bulk_writer.convert import fetch_schema
from penstock.cli.client_options import connection_options
from penstock.cli.schema_files import read_schema_file
from penstock.cli.server_names import complete_collections
from penstock.cli.standard_input import files_or_stdin
from penstock.domain.import_options import parse_separator
from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import CollectionSchema
from penstock.domain.sizes import parse_size
from penstock.errors import InvalidParameter
from penstock.writers.file_type import BulkFileType

_TYPES = {file_type.name.lower(): file_type for file_type in BulkFileType}


def _bytes(_context: click.Context, _option: click.Parameter, value: str) -> int:
    try:
        size = parse_size(value)
    except InvalidParameter as error:
        raise click.BadParameter(str(error)) from None
    if size <= 0:
        raise click.BadParameter(f"{value!r} is not a size above 0; write 128MiB or 1GB")
    return size


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "--schema",
    "schema_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON or TOML file with the schema of the REST call.",
)
@click.option(
    "--collection",
    shell_complete=complete_collections,
    metavar="NAME",
    help="Use the schema of this collection on a server.",
)
@click.option(
    "--out", required=True, metavar="DIR|URL", help="Folder, s3://bucket/folder or azure://container/folder."
)
@click.option(
    "--type",
    "type_name",
    type=click.Choice(list(_TYPES)),
    default="parquet",
    show_default=True,
    help="Format of the files.",
)
@click.option(
    "--chunk-size",
    callback=_bytes,
    metavar="SIZE",
    default="128MiB",
    show_default=True,
    help="Bytes of rows per file.",
)
@click.option(
    "--column", "columns", multiple=True, metavar="FIELD[=COLUMN]", help="Use only these columns; repeatable."
)
@click.option("--sep", metavar="CHARACTER", help="CSV: column separator. [default: a comma]")
@click.option("--nullkey", metavar="TEXT", help="CSV: text of null cells. [default: an empty cell]")
@click.option(
    "--stdin-type",
    type=click.Choice(["jsonl", "json", "csv", "parquet", "arrow"]),
    default="jsonl",
    show_default=True,
    help="Format of the standard input.",
)
@click.option("--progress/--no-progress", default=None, help="Show a progress bar. [default: on a terminal]")
@connection_options
def convert(
    inputs: tuple[str, ...],
    schema_file: Path | None,
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
    stdin_type: str,
    progress: bool | None,
) -> None:
    """Convert files into import files of a collection.

    INPUT is a file of any import format (Parquet, Arrow, CSV, JSON, JSON Lines, NumPy, HDF5 …), a folder of such
    files, or - for rows from standard input. Prints the names of the written files, one chunk per line, in the form
    of the import calls.
    """
    separator = None if sep is None else parse_separator(sep)
    config = {key: value for key, value in (("sep", separator), ("nullkey", nullkey)) if value is not None}
    with files_or_stdin(inputs, stdin_type) as paths:
        result = convert_files(
            paths,
            _schema(schema_file, collection, url, api_key, database),
            out,
            file_type=_TYPES[type_name],
            chunk_size=chunk_size,
            config=config,
            columns=_selection(columns),
            progress_bar=sys.stderr.isatty() if progress is None else progress,
        )
    for files in result.files:
        click.echo(",".join(files))
    count = sum(map(len, result.files))
    click.echo(f"{result.rows:,} rows in {count:,} file{'' if count == 1 else 's'}", err=True)


def _schema(
    schema_file: Path | None, collection: str | None, url: str, api_key: str, database: str
) -> CollectionSchema:
    if (schema_file is None) == (collection is None):
        raise click.UsageError("Give either --schema FILE or --collection NAME.")
    if schema_file is not None:
        return schema_from_rest(read_schema_file(schema_file).schema).check()
    assert collection is not None
    try:
        return fetch_schema(url, collection, api_key=api_key, database=database)
    except ValueError as error:  # a malformed address or key
        raise click.UsageError(str(error)) from None


def _selection(columns: tuple[str, ...]) -> dict[str, str] | None:
    if not columns:
        return None
    pairs = (column.partition("=") for column in columns)
    return {field: column or field for field, _, column in pairs}
