"""``penstock collections``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.client_options import json_option, with_client
from penstock.cli.groups import Group
from penstock.cli.import_flags import file_option_flags, options_of
from penstock.cli.indexes import hint_at_indexes
from penstock.cli.inference import inference_options
from penstock.cli.loading import load, release
from penstock.cli.server_names import complete_collections

if TYPE_CHECKING:
    from penstock.sdk.client import Client
    from penstock.sdk.schema import CollectionInfo, FieldInfo

METRICS = ("COSINE", "L2", "IP")
_LOAD_STATES = {"LoadStateLoaded": "loaded", "LoadStateNotLoad": "not loaded", "LoadStateLoading": "loading"}


@click.group(cls=Group)
def collections() -> None:
    """Create, list, describe, load and drop collections."""


@collections.command()
@click.argument("name")
@click.option("--dimension", type=click.IntRange(min=1), help="Quick form: an id, a float vector, dynamic fields.")
@click.option(
    "--metric",
    type=click.Choice(METRICS, case_sensitive=False),
    help="Quick form: the metric. [default: cosine]",
)
@click.option(
    "--id-type", type=click.Choice(["Int64", "VarChar"], case_sensitive=False), help="Quick form: type of the ids."
)
@click.option("--max-length", type=click.IntRange(1, 65535), help="Quick form with VarChar: maximum bytes of an id.")
@click.option("--auto-id", is_flag=True, help="The server generates the ids; files have none.")
@click.option(
    "--schema",
    "schema_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Full form: JSON or TOML file with the fields and indexes; see docs/schema-files.md.",
)
@click.option(
    "--from",
    "paths",
    multiple=True,
    metavar="PATH",
    help="Infer the schema from a file, folder, pattern or address; repeatable.",
)
@click.option(
    "--print", "print_only", is_flag=True, help="Print the inferred schema as a schema file, and create nothing."
)
@file_option_flags
@click.option(
    "--server-paths", is_flag=True, help="Inferred schema: send the paths unchanged, for files only the server has."
)
@inference_options
@with_client
def create(
    client: Client,
    name: str,
    dimension: int | None,
    metric: str | None,
    id_type: str | None,
    max_length: int | None,
    auto_id: bool,
    schema_file: Path | None,
    paths: tuple[str, ...],
    print_only: bool,
    server_paths: bool,
    id_column: str,
    vector_column: str,
    yes: bool,
    **flags: Any,
) -> None:
    """Create the collection NAME from a dimension, a schema file, or the files to be imported.

    With --from the server reads the first rows of the files; the fields are shown, each with the reason for its type,
    and asked about unless --yes is given. Creating an identical collection again succeeds.
    """
    quick = {"--metric": metric, "--id-type": id_type, "--max-length": max_length}
    inferred_flags = {
        "--print": print_only,
        **{f"--{name.replace('_', '-')}": value for name, value in flags.items()},
        "--server-paths": server_paths,
        "--id": id_column,
        "--vector": vector_column,
        "--yes": yes,
    }
    if [dimension is not None, schema_file is not None, bool(paths)].count(True) != 1:
        raise click.UsageError("Give one of --dimension N, --schema FILE and --from PATH.")
    if not paths and (superfluous := [flag for flag, value in inferred_flags.items() if value]):
        raise click.UsageError(f"{', '.join(superfluous)} needs --from PATH.")
    if paths:
        if superfluous := [flag for flag, value in quick.items() if value]:
            raise click.UsageError(f"{', '.join(superfluous)} needs --dimension; with --from, the files define it.")
        from penstock.cli.inference import create_inferred, print_inferred, schema_file_text
        from penstock.cli.paths import import_groups, server_groups

        inferred = client.collections.infer(
            server_groups(paths) if server_paths else import_groups(paths),
            id=id_column,
            vector=vector_column,
            auto_id=auto_id,
            options=options_of(flags),
        )
        if print_only:
            print_inferred(inferred)
            click.echo(schema_file_text(inferred))
            return
        create_inferred(client, name, inferred, yes=yes)
    elif schema_file is None:
        params = {"max_length": max_length} if max_length else None
        client.collections.create(
            name, dimension=dimension, metric=metric, id_type=id_type, auto_id=auto_id or None, params=params
        )
    else:
        from penstock.cli.schema_files import read_schema_file

        if quick_flags := [flag for flag, value in {**quick, "--auto-id": auto_id}.items() if value]:
            raise click.UsageError(f"{', '.join(quick_flags)} needs --dimension; with --schema, the file defines it.")
        content = read_schema_file(schema_file)
        client.collections.create(name, schema=content.schema, indexes=content.indexes, params=content.params)
    hint_at_indexes(client.collections.describe(name))
    click.echo(f"Created collection {name}. Import files into it: penstock import FILES --collection {name}")


@collections.command("list")
@json_option
@with_client
def list_collections(client: Client, as_json: bool) -> None:
    """List the collections of a database, with their rows."""
    from penstock.cli.output import print_json, print_table

    rows = list(_counted(client))
    if as_json:
        print_json([{"name": name, "rows": count} for name, count in rows])
    else:
        print_table(["Collection", "Rows"], rows, none="No collections yet. Create one: penstock collections create")


@collections.command()
@click.argument("name", shell_complete=complete_collections)
@json_option
@with_client
def describe(client: Client, name: str, as_json: bool) -> None:
    """Print the fields, indexes, partitions and number of rows of a collection."""
    from penstock.cli.output import print_json

    info = client.collections.describe(name)
    if as_json:
        print_json(info.raw)
    else:
        _print_description(info, client.partitions.list(name), client.collections.stats(name).rows)


@collections.command()
@click.argument("name", shell_complete=complete_collections)
@json_option
@with_client
def stats(client: Client, name: str, as_json: bool) -> None:
    """Print the number of rows of a collection."""
    from penstock.cli.output import print_json

    rows = client.collections.stats(name).rows
    if as_json:
        print_json({"rows": rows})
    else:
        click.echo(rows)


@collections.command()
@click.argument("name", shell_complete=complete_collections)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_client
def drop(client: Client, name: str, yes: bool) -> None:
    """Drop a collection and all its rows."""
    if not client.collections.has(name):
        click.echo(f"There is no collection {name}.", err=True)
        return
    if not yes:
        rows = client.collections.stats(name).rows
        click.confirm(f"Drop collection {name} with its {rows:,} rows?", abort=True, err=True)
    client.collections.drop(name)
    click.echo(f"Dropped collection {name}.")


collections.add_command(load)
collections.add_command(release)


def _counted(client: Client) -> Iterator[tuple[str, int]]:
    """The collections with their rows, without those that are dropped meanwhile."""
    from penstock.sdk.errors import NotFound

    for name in client.collections.list():
        try:
            yield name, client.collections.stats(name).rows
        except NotFound:
            continue


def _print_description(info: CollectionInfo, partitions: tuple[str, ...], rows: int) -> None:
    from penstock.cli.output import print_facts, print_table

    print_facts(
        {
            "Collection": info.name,
            "Description": info.description or None,
            "Rows": rows,
            "Partitions": ", ".join(partitions),
            "Other fields": "stored as dynamic values" if info.dynamic else "dropped, with a warning on the job",
            "Load state": _LOAD_STATES.get(info.load_state, info.load_state) or None,
        }
    )
    click.echo()
    indexes = {
        index.field: f"{index.name} ({index.metric})" if index.metric else index.name for index in info.indexes
    }
    columns = ["Field", "Type", "Rules", "Index"]
    shown = [(part.name, _type(part), _rules(part), indexes.get(part.name, "")) for part in _with_parts(info)]
    print_table(columns, shown, none="No fields.")


def _with_parts(info: CollectionInfo) -> Iterator[FieldInfo]:
    """Yield all fields, and after a struct array those of its structs."""
    for field in info.fields:
        yield field
        yield from (replace(part, name=f"{field.name}[{part.name}]", nullable=False) for part in field.fields)


def _type(field: FieldInfo) -> str:
    inner = f"({field.element_type})" if field.element_type else ""
    sizes = {"dim": "dimension", "max_length": "max length", "max_capacity": "max capacity"}
    limits = [f"{word} {field.params[key]}" for key, word in sizes.items() if key in field.params]
    return ", ".join([field.type + inner, *limits])


def _rules(field: FieldInfo) -> str:
    default: list[Any] = [] if field.default is None else [f"default {field.default!r}"]
    flags = {
        "primary key": field.is_primary,
        "generated by the server": field.auto_id,
        "partition key": field.is_partition_key,
        "nullable": field.nullable,
    }
    return ", ".join([word for word, on in flags.items() if on] + default)
