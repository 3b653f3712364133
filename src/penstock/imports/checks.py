"""Check the files and options of an import call, before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.domain.durations import parse_duration
from penstock.domain.error_budget import ErrorPolicy
from penstock.domain.import_options import IMPORT_OPTIONS, is_true
from penstock.domain.schema import CollectionSchema
from penstock.domain.write_modes import Duplicates, WriteMode, WriteOptions
from penstock.errors import ImportRefused, InvalidParameter, MissingParameter, Unsupported, shorten
from penstock.imports.requests import StoreCredentials
from penstock.imports.settings import JobSettings
from penstock.readers import formats
from penstock.readers.input_files import check_group
from penstock.sources.roots import ImportRoots

MAX_PATHS = 16_384
"""Paths of one request; checking one takes some 0.1 ms."""


def check_groups(
    groups: Sequence[Sequence[str]],
    roots: ImportRoots,
    keys: StoreCredentials,
    settings: JobSettings,
    preset: str = "",
) -> Sequence[Sequence[str]]:
    """Check the groups of paths of a call, and return them without empty ones.

    ``preset`` is the import option ``from_format``.

    Raises:
        InvalidParameter: there are none.
        ImportRefused: there are too many, or one is of no format.
        PathNotAllowed, Unsupported: a path lies outside every import root.
    """
    groups = [paths for group in groups if (paths := [path for path in group if path])]
    if not groups:
        raise InvalidParameter("import request is empty")
    if len(groups) > settings.max_inputs_per_job:
        raise ImportRefused(
            f"The max number of import files should not exceed {settings.max_inputs_per_job}, but got {len(groups)}",
            limit="max_inputs_per_job",
        )
    count = sum(map(len, groups))
    if count > MAX_PATHS:
        raise ImportRefused(
            f"one import takes at most {MAX_PATHS} files, but got {count}. Name their folder, or create several "
            "imports",
            limit="max_paths",
        )
    check_paths(groups, roots, keys)
    for group in groups:
        check_group(group, preset)
    return groups


def check_paths(groups: Sequence[Sequence[str]], roots: ImportRoots, keys: StoreCredentials) -> None:
    """Raises PathNotAllowed, Unsupported."""
    for group in groups:
        for path in group:
            roots.check(path, bool(keys))


def check_write_options(options: Mapping[str, str], schema: CollectionSchema) -> None:
    """Raises ImportRefused for write options that contradict each other or the collection."""
    write = WriteOptions.of(options)
    if write.mode is WriteMode.UPSERT and write.duplicates is Duplicates.KEEP:
        raise ImportRefused(
            "options.duplicates=keep contradicts write_mode=upsert, after which each key is there once. Choose last, "
            "first or error",
            option="duplicates",
        )
    if write.reads_keys and schema.auto_id:
        option = "write_mode" if write.mode is WriteMode.UPSERT else "duplicates"
        raise ImportRefused(
            f"options.{option}={options[option]} needs keys in the files, but the collection generates them "
            f"(autoId of field {schema.primary.name}). Leave the option out, or create the collection without autoId",
            option=option,
        )


def check_options(options: Mapping[str, str], partition: str | None = None) -> None:
    """Raises MissingParameter, Unsupported, InvalidParameter and ImportRefused for unsupported options."""
    if is_true(options, "backup") and not partition:
        raise MissingParameter("partition not specified", option="backup")
    for key in ("backup", "l0_import"):
        if is_true(options, key):
            raise Unsupported(
                f"options.{key} is not supported: Penstock imports files of vectors, not Milvus binlogs", option=key
            )
    if options.get("timeout"):
        parse_duration(options["timeout"])
    formats.check_options(options)
    if is_true(options, "dry_run") and options.get("auto_commit", "").lower() == "false":
        raise ImportRefused(
            "options.dry_run has nothing to commit, so options.auto_commit can't be false. Leave one of them out",
            option="auto_commit",
        )
    for option in IMPORT_OPTIONS:
        value = options.get(option.name)
        if value and option.values and (value.lower() if option.is_boolean else value) not in option.values:
            raise ImportRefused(
                f"options.{option.name} must be one of {', '.join(option.values)}, not {shorten(value)}",
                option=option.name,
            )
    ErrorPolicy.of(options)
