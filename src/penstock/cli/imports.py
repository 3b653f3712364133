"""``penstock import``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.client_options import cluster_option, json_option, with_client
from penstock.cli.column_flags import mapping_flags, mapping_options
from penstock.cli.errors import INTERRUPTED, Failure, explain
from penstock.cli.import_flags import option_flags, options_of, options_with_pairs
from penstock.cli.inference import inference_options
from penstock.cli.server_names import complete_collections

if TYPE_CHECKING:
    from penstock.sdk.client import Client
    from penstock.sdk.errors import ImportCallError
    from penstock.sdk.schema import InferredSchema

GROUPS_PER_JOB = 1024
_MAX_SHOWN = 10
"""Loaded files that the question names."""
_AGAIN = "penstock import FILES --collection {}"
_DROP = "penstock collections drop {}"


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--collection", shell_complete=complete_collections, required=True, metavar="NAME", help="Target collection."
)
@click.option("--partition", metavar="NAME", help="Target partition of all rows.")
@option_flags
@mapping_options
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="Any option of the import call; repeatable."
)
@click.option(
    "--server-paths", is_flag=True, help="Send the paths unchanged, for files that only the server can access."
)
@click.option(
    "--upload",
    is_flag=True,
    help="Upload the files first, for a server on another machine; the same command again continues an upload.",
)
@click.option(
    "--files-per-job",
    type=click.IntRange(min=1),
    default=GROUPS_PER_JOB,
    show_default=True,
    help="More files are split into several jobs; servers limit the files of one job.",
)
@click.option("--create", is_flag=True, help="Create the collection first, with a schema inferred from the files.")
@click.option("--auto-id", is_flag=True, help="Inferred schema: the server generates the ids.")
@inference_options
@click.option("--no-wait", is_flag=True, help="Print the job's id without waiting for it.")
@cluster_option
@json_option
@with_client
def import_files(
    client: Client,
    paths: tuple[str, ...],
    collection: str,
    partition: str | None,
    options: tuple[str, ...],
    server_paths: bool,
    upload: bool,
    files_per_job: int,
    create: bool,
    auto_id: bool,
    id_column: str,
    vector_column: str,
    yes: bool,
    no_wait: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Import files into a collection, show the progress and the result.

    PATH is a file, a folder, a pattern such as 'data/**/*.parquet', or an address such as s3://bucket/folder/.
    With --server-paths and in addresses, patterns are resolved by the server; a .manifest file lists files and their
    checksums.

    Parquet, JSON, JSON Lines (.jsonl, .ndjson), CSV and TSV, the texts also as .gz, .zst and .bz2; NumPy (.npz, and
    .npy: those of one folder are the columns of the same rows); Arrow (.arrow, .feather), ORC, Avro, HDF5; vectors
    alone (.fvecs, .ivecs, .bvecs, .fbin). All rows of a job become visible at once, or none.

    With --create the collection must not exist yet. Its schema is inferred from the first rows of the files, shown,
    each field with the reason for its type, and asked about unless --yes is given.

    The exit code is 0 when all jobs completed, 1 when a job failed or was aborted, 2 for wrong usage, and 130 after
    Ctrl-C, which leaves the job running.
    """
    from penstock.cli.paths import import_groups, server_groups
    from penstock.sdk.errors import ImportCallError

    mapping, dropped, rest = mapping_flags(flags)
    job_options = options_with_pairs(options, options_of(rest))
    for name, value in (("mapping", mapping), ("drop_columns", dropped)):
        if value and name in job_options:
            raise click.UsageError(f"--option {name} contradicts the flags that make this option: give one of them")
    if upload and server_paths:
        raise click.UsageError("--upload sends files of this machine, --server-paths names files of the server's.")
    groups = server_groups(paths) if server_paths else import_groups(paths)
    if upload:
        groups = _uploaded(client, groups)
    if create:
        if job_options.get("dry_run") == "true":
            raise click.UsageError(
                "--dry-run needs a collection that exists, without --create. To check files without one: "
                "penstock check FILES"
            )
        if partition:
            raise click.UsageError("--partition needs a collection that exists, without --create.")
        inferred = _create(
            client, collection, groups, job_options, mapping, dropped, id_column, vector_column, auto_id, yes
        )
        mapping |= inferred.mapping
    elif inference_flags := [
        flag
        for flag, value in (("--id", id_column), ("--vector", vector_column), ("--auto-id", auto_id), ("--yes", yes))
        if value
    ]:
        raise click.UsageError(f"{', '.join(inference_flags)} needs --create.")
    if not (create or yes or "if_loaded" in job_options):
        if_loaded = _ask_about_loaded(client, collection, groups)
        if if_loaded:
            job_options["if_loaded"] = if_loaded
    shares = [groups[start : start + files_per_job] for start in range(0, len(groups), files_per_job)]
    if len(shares) > 1:
        click.echo(
            f"{len(groups):,} files result in {len(shares)} jobs of at most {files_per_job:,}; each is atomic.",
            err=True,
        )
    ids: list[str] = []
    for share in shares:
        try:
            job = client.imports.create(
                collection, share, partition=partition, options=job_options, mapping=mapping, drop_columns=dropped
            )
        except ImportCallError as error:
            if create and not ids:
                raise Failure(f"{explain(error)}\n{_left_behind(collection, error)}") from None
            if ids:
                raise Failure(f"{explain(error)}\n{_begun(ids, len(shares))}") from None
            raise
        ids.append(job.id)
        click.echo(f"Job {job.id}: {_named(share)} into {collection}", err=True)
    if no_wait:
        click.echo(json.dumps([{"jobId": id_} for id_ in ids]) if as_json else "\n".join(ids))
        return
    from penstock.cli.watch import follow

    follow(client, ids, as_json=as_json, if_all_failed=_left_empty(collection) if create else "")


def _uploaded(client: Client, groups: list[list[str]]) -> list[list[str]]:
    """Upload the local files of the groups; the groups of their paths on the server."""
    from penstock.sdk.progress import upload_bar

    try:
        with upload_bar(sys.stderr) as show:
            return client.imports.upload(groups, progress=show)
    except (OSError, ValueError) as error:
        raise Failure(f"{error}. Nothing was imported.") from None
    except KeyboardInterrupt:
        click.echo("\nInterrupted; nothing was imported. The same command continues where it stopped.", err=True)
        sys.exit(INTERRUPTED)


def _ask_about_loaded(client: Client, collection: str, groups: list[list[str]]) -> str:
    """Ask on a terminal what to do with files that were loaded before; "" if there are none, or no terminal."""
    from penstock.sdk.errors import ImportCallError

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    try:
        loaded = client.imports.loaded(collection, groups[:GROUPS_PER_JOB])
    except ImportCallError:
        # Only Penstock has this call, and the import itself explains what else is wrong.
        return ""
    if not loaded:
        return ""
    for name, job_id in list(loaded.items())[:_MAX_SHOWN]:
        click.echo(f"{name} was loaded into {collection} by job {job_id}.", err=True)
    if len(loaded) > _MAX_SHOWN:
        click.echo(f"So were {len(loaded) - _MAX_SHOWN:,} other files.", err=True)
    choice: str = click.prompt(
        "Load them again, which stores their rows twice, skip them, or import nothing?",
        type=click.Choice(["load", "skip", "nothing"]),
        default="skip",
        err=True,
    )
    if choice == "nothing":
        raise Failure("Nothing was imported.")
    return choice


def _create(
    client: Client,
    collection: str,
    groups: list[list[str]],
    options: Mapping[str, str],
    mapping: Mapping[str, Any],
    dropped: Sequence[str],
    id_column: str,
    vector_column: str,
    auto_id: bool,
    yes: bool,
) -> InferredSchema:
    from penstock.cli.inference import create_inferred

    if client.collections.has(collection):
        raise Failure(
            f"The collection {collection} exists; nothing was imported. To import into it as it is, leave --create "
            "out."
        )
    inferred = client.collections.infer(
        groups,
        id=id_column,
        vector=vector_column,
        auto_id=auto_id,
        options=options,
        mapping=mapping,
        drop_columns=dropped,
    )
    create_inferred(client, collection, inferred, yes=yes)
    return inferred


def _left_behind(collection: str, error: ImportCallError) -> str:
    """Say what becomes of a collection that was created for an import which then was refused, or got no answer."""
    from penstock.sdk.errors import ApiError

    if isinstance(error, ApiError):
        return _left_empty(collection)
    return (
        f"The collection {collection} was created; whether the import was, shows penstock jobs list --collection "
        f"{collection}. If not, import without --create: {_AGAIN.format(collection)}, or drop the collection: "
        f"{_DROP.format(collection)}"
    )


def _begun(ids: Sequence[str], jobs: int) -> str:
    """Say which of several jobs were created before one was refused."""
    return (
        f"{len(ids)} of {jobs} jobs were created, and continue on the server. To follow them: penstock jobs wait "
        f"{' '.join(ids)}"
    )


def _left_empty(collection: str) -> str:
    return (
        f"The collection {collection} was created for this import, and is empty. To import into it: "
        f"{_AGAIN.format(collection)}, without --create. To drop it: {_DROP.format(collection)}"
    )


def _named(groups: list[list[str]]) -> str:
    if len(groups) == 1:
        return groups[0][0] if len(groups[0]) == 1 else f"a NumPy set of {len(groups[0])} files"
    return f"{len(groups):,} files"
