"""Create and drop tables; stage files of jobs in them, and discard these."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import lance
import pyarrow as pa
from lance.fragment import FragmentMetadata, write_fragments

from penstock.engines.lance.layout.encoding import STORAGE_VERSION, encode, in_small_batches, stored_schema
from penstock.engines.lance.layout.errors import translate, translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.write.write_back import writing_back
from penstock.engines.values import Staged, Table
from penstock.errors import StorageError

MAX_FILE_ROWS = 1 << 20
MAX_FILE_BYTES = 2 << 30
"""One split is one file, unless the split is huge; queries open every file."""


def create(store: TableRoot, table: Table) -> int:
    doing = f"creating the table {table.id}"
    if store.is_local and not Path(store.root).is_dir():
        # Lance would create it, on the disk below a mount that is gone.
        raise StorageError(
            f"The store {store.root} does not exist, found while {doing}. Mount or restore it, and try again",
            store=store.root,
        )
    with translating_errors(doing, store.options):
        try:
            dataset = lance.write_dataset(
                stored_schema(table.schema).empty_table(),
                store.uri(table.id),
                mode="create",
                data_storage_version=STORAGE_VERSION,
                storage_options=store.options or None,
            )
        except OSError as error:
            if "already exists" not in str(error).lower():
                raise
            dataset = store.latest(table.id, doing)
        version = int(dataset.version)
        store.sync_version(table.id, version)
    return version


def drop(store: TableRoot, table_id: str) -> None:
    store.forget(table_id)
    with translating_errors(f"removing the table {table_id}", store.options):
        store.files(table_id).remove_all()


class _Source:
    """Encode the batches of one ``stage`` call for Lance; keep their error, which Lance wraps."""

    def __init__(self, batches: Iterator[pa.RecordBatch], table: Table, job_id: int) -> None:
        self._batches = batches
        self._table = table
        self._job_id = job_id
        self.rows = 0
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.rows += len(batch)
                yield from in_small_batches(encode(batch, self._table.schema, self._job_id))
        except BaseException as error:
            self.error = error
            raise


def stage(store: TableRoot, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
    doing = f"writing rows of job {job_id}"
    schema = stored_schema(table.schema)
    source = _Source(batches, table, job_id)
    dataset = store.at_least(table, doing)  # by path alone, Lance would create a dropped table again
    try:
        # On failure Lance removes what it wrote, finished files as well as temporary ones.
        with writing_back(Path(store.uri(table.id)) / "data") if store.is_local else nullcontext():
            new_fragments = write_fragments(
                pa.RecordBatchReader.from_batches(schema, iter(source)),
                dataset,
                schema=schema,
                mode="append",
                max_rows_per_file=MAX_FILE_ROWS,
                max_bytes_per_file=MAX_FILE_BYTES,
                storage_options=store.options or None,
            )
    except BaseException as error:
        if source.error is not None:
            raise source.error from None
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise translate(error, doing, store.options) from error
        raise
    assert isinstance(new_fragments, list)
    files = _sizes_of(new_fragments)
    note = {"fragments": [json.dumps(fragment.to_json()) for fragment in new_fragments], "files": files}
    staged = Staged(rows=source.rows, size=sum(files.values()), note=note)
    try:
        with translating_errors(doing, store.options):
            store.files(table.id).sync(files)
    except BaseException:
        discard(store, table.id, [staged])
        raise
    return staged


def _sizes_of(new_fragments: Sequence[FragmentMetadata]) -> dict[str, int]:
    return {
        f"data/{file.path}": int(file.file_size_bytes or 0) for fragment in new_fragments for file in fragment.files
    }


def file_sizes(staged: Sequence[Staged]) -> dict[str, int]:
    """All files of staged splits and their sizes in bytes, by name relative to the table."""
    return {str(name): int(size) for split in staged for name, size in split.note.get("files", {}).items()}


def fragments(staged: Sequence[Staged]) -> list[FragmentMetadata]:
    """The fragment metadata of staged splits, which Lance commits."""
    return [FragmentMetadata.from_json(text) for split in staged for text in split.note.get("fragments", ())]


def discard(store: TableRoot, table_id: str, staged: Sequence[Staged]) -> None:
    with translating_errors(f"removing staged files of the table {table_id}", store.options):
        store.files(table_id).delete(file_sizes(staged))
