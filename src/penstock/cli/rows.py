"""``penstock query`` and ``penstock search``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.client_options import json_option, with_client
from penstock.cli.renamed import renamed_option
from penstock.cli.server_names import complete_collections
from penstock.cli.standard_input import text_or_stdin
from penstock.cli.vector_argument import parse_vector

if TYPE_CHECKING:
    from penstock.sdk.client import Client
    from penstock.sdk.schema import CollectionInfo, FieldInfo

_FIELDS_HELP = "Fields to print, separated by commas. [default: all]"


@click.command()
@click.argument("name", shell_complete=complete_collections)
@click.option(
    "--filter",
    "expression",
    default="",
    metavar="EXPRESSION",
    callback=text_or_stdin,
    help="Such as 'year > 2000 and tag == \"a\"'; - reads it from standard input.",
)
@click.option("--limit", type=click.IntRange(1, 16384), default=10, show_default=True, help="Maximum number of rows.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Number of rows to skip.")
@click.option("--output-fields", metavar="NAMES", help=_FIELDS_HELP)
@click.option("--partition", "partitions", multiple=True, metavar="NAME", help="Only this partition; repeatable.")
@click.option("--count", is_flag=True, help="Print only the number of rows.")
@json_option
@with_client
def query(
    client: Client,
    name: str,
    expression: str,
    limit: int,
    offset: int,
    output_fields: str | None,
    partitions: tuple[str, ...],
    count: bool,
    as_json: bool,
) -> None:
    """Print rows of the collection NAME that match a Milvus filter expression; default: all."""
    from penstock.cli.output import print_json

    if count:
        rows = client.count(name, expression, partitions=partitions)
        if as_json:
            print_json({"count": rows})
        else:
            click.echo(rows)
        return
    matches = client.query(
        name,
        expression,
        output_fields=_names(output_fields),
        limit=limit,
        offset=offset,
        partitions=partitions,
    )
    if as_json:
        print_json(matches)
    else:
        _print_rows(matches)


@click.command()
@click.argument("name", shell_complete=complete_collections)
@click.option(
    "--vector",
    metavar="VECTOR",
    help="The vector to search by: '[0.1, 0.2]', @FILE.npy, '@FILE.npy[7]' or - (stdin).",
)
@click.option("--text", metavar="TEXT", help="The text to search for, in the field that a BM25 function computes.")
@click.option("--id", "row_id", metavar="ID", help="Search by the vector of the row with this primary key.")
@renamed_option("--like-id", "--id")
@click.option("--field", metavar="NAME", help="The vector field, if there are several.")
@click.option("--limit", type=click.IntRange(1, 16384), default=10, show_default=True, help="Maximum number of rows.")
@click.option(
    "--filter",
    "expression",
    default="",
    metavar="EXPRESSION",
    callback=text_or_stdin,
    help="Search only rows that match; - reads it from standard input.",
)
@click.option(
    "--output-fields", metavar="NAMES", help="Fields to print, separated by commas. [default: all but vectors]"
)
@click.option("--partition", "partitions", multiple=True, metavar="NAME", help="Only this partition; repeatable.")
@json_option
@with_client
def search(
    client: Client,
    name: str,
    vector: str | None,
    text: str | None,
    row_id: str | None,
    field: str | None,
    limit: int,
    expression: str,
    output_fields: str | None,
    partitions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the rows of the collection NAME nearest to a vector or a text, nearest first."""
    from penstock.cli.output import print_json

    if sum(given is not None for given in (vector, text, row_id)) != 1:
        raise click.UsageError("Give one of --vector '[0.1, 0.2, …]', --text TEXT and --id ID.")
    schema = client.collections.describe(name)
    if text is not None:
        query: Any = text
    else:
        query = parse_vector(vector) if vector is not None else _vector_of(client, schema, row_id or "", field)
    hits = client.search(
        name,
        [query],
        field=field,
        limit=limit,
        filter=expression,
        output_fields=_names(output_fields) or _readable(schema),
        partitions=partitions,
        schema=schema,
    )[0]
    # Whether requested or not, the key appears once.
    key = schema.primary.name
    rows = [{key: hit.id, "distance": hit.distance, **_without(hit.fields, key)} for hit in hits]
    if as_json:
        print_json(rows)
    else:
        _print_rows(rows)


def _vector_of(client: Client, schema: CollectionInfo, row_id: str, field: str | None) -> Any:
    vectors = [field.name for field in schema.fields if field.type.endswith("Vector")]
    if field is None and len(vectors) != 1:
        raise click.UsageError(
            f"{schema.name} has several vector fields; choose one with --field: {', '.join(vectors)}"
        )
    vector_field = field or vectors[0]
    key: int | str = row_id
    if schema.primary.type == "Int64":
        try:
            key = int(row_id)
        except ValueError:
            raise click.BadParameter(f"ids of {schema.name} are numbers", param_hint="--id") from None
    rows = client.get(schema.name, key, output_fields=[vector_field], schema=schema)
    if not rows:
        raise click.BadParameter(f"{schema.name} has no row {row_id}", param_hint="--id")
    return rows[0][vector_field]


def _readable(schema: CollectionInfo) -> list[str]:
    names = [field.name for field in schema.fields if not field.type.endswith("Vector") and not _holds_vectors(field)]
    return [*names, "$meta"] if schema.dynamic else names


def _holds_vectors(field: FieldInfo) -> bool:
    return any(subfield.type == "ArrayOfVector" for subfield in field.fields)


def _names(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def _without(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key}


def _print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    from penstock.cli.output import print_table

    columns = list(dict.fromkeys(name for row in rows for name in row))
    shown = [[_scalar(row[name]) if name in row else "" for name in columns] for row in rows]
    print_table(columns, shown, none="No rows.")


def _scalar(value: object) -> object:
    from penstock.cli.output import short_value

    if value is None or isinstance(value, bool | float):
        return value
    return str(value) if isinstance(value, int) else short_value(value)
