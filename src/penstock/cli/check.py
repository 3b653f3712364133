"""``penstock check``: check import files without a server."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.check_reports import print_report, write_junit, write_sarif
from penstock.cli.client_options import connection_options, json_option
from penstock.cli.column_flags import mapping_flags, mapping_options
from penstock.cli.errors import FAILED, INTERRUPTED
from penstock.cli.import_flags import options_of, options_with_pairs, reading_flags
from penstock.cli.paths import import_groups
from penstock.cli.schema_files import read_schema_file
from penstock.cli.server_names import complete_collections
from penstock.domain.check_report import Report, Severity
from penstock.domain.rest_schema import schema_from_rest
from penstock.domain.schema import CollectionSchema
from penstock.errors import FileMissing, InvalidParameter

if TYPE_CHECKING:
    from penstock.imports.dry_run.local import LocalCheck
    from penstock.readers.base import InputFile
    from penstock.targets.rule import Target

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--schema",
    "schema_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON or TOML file with the collection's schema.",
)
@click.option(
    "--collection",
    shell_complete=complete_collections,
    metavar="NAME",
    help="Use the schema of this collection on a server.",
)
@click.option(
    "--for",
    "target_names",
    multiple=True,
    metavar="TARGET",
    help="Also check what this server refuses: milvus-2.4, milvus-2.5, milvus-2.6, milvus-3.0 or zilliz; repeatable.",
)
@reading_flags
@mapping_options
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="Any option of the import call; repeatable."
)
@click.option(
    "--max-errors",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    metavar="COUNT",
    help="Rows of the printed table; the files of --sarif and --junit and --json have all.",
)
@click.option("--strict", is_flag=True, help="Warnings are errors, too.")
@click.option("--sarif", type=_FILE, metavar="FILE", help="Write a SARIF 2.1.0 file, for code scanning.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write a JUnit XML file, a test case per file.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes. [default: the number of processors]")
@click.option("--memory-budget", metavar="SIZE", help="Memory of all workers. [default: a quarter of the memory]")
@json_option
@connection_options
def check(
    paths: tuple[str, ...],
    schema_file: Path | None,
    collection: str | None,
    target_names: tuple[str, ...],
    options: tuple[str, ...],
    max_errors: int,
    strict: bool,
    sarif: Path | None,
    junit: Path | None,
    workers: int | None,
    memory_budget: str | None,
    as_json: bool,
    url: str,
    api_key: str,
    database: str,
    **flags: Any,
) -> None:
    """Check import files against a schema, without a server and without writing anything.

    PATH is a file, a folder, a pattern or an address, as for penstock import. Every row is read and checked on all
    processors: the table shows the errors by rule and field, with counts, first places and what to do, and the keys
    that occur more than once. Without --schema and --collection a schema is inferred from the first rows, which
    finds rows that differ from these.

    With --for also what another server would refuse, or read otherwise, of these files: formats, types, sizes, names
    and spellings. docs/target-rules.md lists the rules.

    The exit code is 0 when the files are clean, 1 when there are errors, and 2 for wrong usage.
    """
    from penstock.targets.rule import target_named

    if schema_file is not None and collection is not None:
        raise click.UsageError("Give --schema FILE or --collection NAME, not both.")
    try:
        targets = list(dict.fromkeys(target_named(name) for name in target_names))
        groups = import_groups(paths, hint="")
    except (InvalidParameter, FileMissing) as error:
        raise click.UsageError(str(error)) from None
    for file in filter(None, (sarif, junit)):  # before all rows are read
        if not file.absolute().parent.is_dir():
            raise click.UsageError(f"{file} can't be written: there is no folder {file.parent}")
    schema = _schema(schema_file, collection, url, api_key, database)
    settings = {"workers": workers, "memory_budget": memory_budget}
    report, used = _check(paths, groups, schema, targets, _options(options, flags), settings)
    if strict:
        report = replace(report, problems=[replace(problem, severity=Severity.ERROR) for problem in report.problems])
    if sarif is not None:
        write_sarif(report, sarif)
    if junit is not None:
        write_junit(report, [file.name for file in used], junit)
    print_report(report, targets, max_errors=max_errors, as_json=as_json)
    if not report.is_clean:
        sys.exit(FAILED)


def _schema(
    schema_file: Path | None, collection: str | None, url: str, api_key: str, database: str
) -> CollectionSchema | None:
    """The schema to check against; None if it is to be inferred."""
    if schema_file is not None:
        return schema_from_rest(read_schema_file(schema_file).schema).check()
    if collection is None:
        return None
    from penstock.bulk_writer.convert import fetch_schema

    try:
        return fetch_schema(url, collection, api_key=api_key, database=database)
    except ValueError as error:  # a malformed address or key
        raise click.UsageError(str(error)) from None


def _options(pairs: Sequence[str], flags: Mapping[str, Any]) -> dict[str, str]:
    mapping, dropped, rest = mapping_flags(flags)
    options = options_with_pairs(pairs, options_of(rest))
    for name, value in (("mapping", mapping), ("drop_columns", list(dropped))):
        if value and name in options:
            raise click.UsageError(f"--option {name} contradicts the flags that make this option: give one of them")
        if value:
            options[name] = json.dumps(value)
    return options


def _check(
    paths: Sequence[str],
    groups: Sequence[Sequence[str]],
    schema: CollectionSchema | None,
    targets: Sequence[Target],
    options: Mapping[str, str],
    flags: Mapping[str, object],
) -> tuple[Report, Sequence[InputFile]]:
    from penstock.imports.dry_run.local import LocalCheck
    from penstock.imports.planner import resolve_files
    from penstock.imports.requests import StoreCredentials
    from penstock.imports.settings import JobSettings
    from penstock.server.runner_factory import runner_of, worker_memory
    from penstock.server.storage_settings import source_stores
    from penstock.settings import load_settings
    from penstock.sources.roots import ImportRoots

    settings = load_settings({**flags, "runner": "local", "log_level": "error"})
    addresses = [path for path in paths if "://" in path and not path.startswith("file:")]
    roots = ImportRoots(["/", *addresses], source_stores(settings))
    job_settings = replace(
        JobSettings.from_settings(settings, worker_memory(settings)), max_file_bytes=None, max_job_bytes=None
    )
    with tempfile.TemporaryDirectory(prefix="penstock-check-") as folder:
        runner = runner_of(settings)
        try:
            with _progress() as show:
                files = resolve_files(groups, roots, StoreCredentials())
                check = LocalCheck(
                    files=files,
                    schema=schema or CollectionSchema(fields=()),
                    options=options,
                    targets=targets,
                    settings=job_settings,
                    runner=runner,
                    spool=Path(folder),
                    progress=show,
                )
                if schema is None:
                    check = replace(check, schema=_inferred(check))
                return check.run(), files
        except KeyboardInterrupt:
            click.echo("\nInterrupted; nothing was written.", err=True)
            sys.exit(INTERRUPTED)
        finally:
            runner.close()


def _inferred(check: LocalCheck) -> CollectionSchema:
    """Infer the schema and show it on the standard error."""
    from penstock.cli.output import print_table
    from penstock.imports.dry_run.local import infer_from
    from penstock.inference.infer import InferOptions
    from penstock.rules.rule import describe

    inferred = infer_from(check, InferOptions())
    rows = [(field.field.name, describe(field.field), field.reason) for field in inferred.fields]
    print_table(["Field", "Type", "Why"], rows, none="No fields.", err=True)
    click.echo(
        f"No schema was given: this one was inferred from the first {inferred.rows:,} rows. Give your own with "
        "--schema FILE.",
        err=True,
    )
    return inferred.schema


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int, int], None]]:
    """Draw a bar of the bytes on a terminal."""
    from penstock.domain.sizes import size_text

    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    text = ""
    bar: Any = click.progressbar(length=1000, file=sys.stderr, width=30, show_eta=True, item_show_func=lambda _: text)

    def show(step: str, done: int, total: int, rows: int) -> None:
        nonlocal text
        if bar.label != step:
            bar.label, bar.pos = step, 0
        text = f"{rows:,} rows, {size_text(done)} of {size_text(total)}"
        bar.update(1000 * done // max(1, total) - bar.pos)
        bar.render_progress()

    try:
        yield show
    finally:
        bar.render_finish()
