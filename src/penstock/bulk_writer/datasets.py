"""Read files and data sets in batches for ``write_table``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.errors import DataError, FileMissing, InvalidParameter, Unsupported
from penstock.readers.base import FormatSpec, ReadRequest, no_rows, plan_at_once
from penstock.readers.compression import with_compressed
from penstock.readers.formats import format_of
from penstock.rules.rule import Array
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.writers.file_schema import schema_of_files

__all__ = ["Dataset", "DatasetChunk", "Selection", "open_table"]

_BATCH_ROWS = 8_192
_BATCH_BYTES = 4 << 20
_SPLIT_BYTES = 256 << 20
_ARROW_FORMATS = {".arrow": "ipc", ".feather": "ipc", ".ipc": "ipc", ".orc": "orc"}
_SUFFIXES = (
    ".parquet",
    *_ARROW_FORMATS,
    ".arrows",
    *(f".{name}" for name in with_compressed("jsonl", "ndjson", "csv", "tsv")),
    ".npz",
    ".avro",
    ".h5",
    ".hdf5",
    ".fvecs",
    ".ivecs",
    ".bvecs",
    ".fbin",
    ".npy",
    *(f".{name}" for name in with_compressed("json")),
)
"""By priority: of a folder with several kinds of files only the first of these is read, as data sets come with small
JSON files."""

Selection = Sequence[str] | Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetChunk:
    """The record batches of one file; ``name`` is None if they come from no file."""

    name: str | None
    batches: Iterable[pa.RecordBatch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The chunks to read, and the total of rows if it is known without reading them."""

    pieces: Iterable[DatasetChunk]
    rows: int | None = None


def open_table(source: Any, schema: CollectionSchema, columns: Selection = None) -> Dataset:
    """Open a file, a folder or a data set. Only footers are read before the batches are consumed.

    Args:
        schema: the fields of the writer's files.
        columns: the columns to read, or ``{field: column}``. Without it a column without a field is rejected, unless
            the schema is dynamic.

    Raises:
        FileMissing: the path does not exist.
        InvalidParameter: ``source`` is none of the above, or ``columns`` names a field that does not exist.
        Unsupported: a kind of file that can't be read.
    """
    if isinstance(source, str | Path):
        return _open_path(Path(source), schema, columns)
    if isinstance(source, ds.Dataset):
        return _open_dataset(source, columns)
    if hasattr(source, "with_format") and hasattr(source, "iter"):
        tables = source.with_format("arrow").iter(batch_size=_BATCH_ROWS)
        batches = (_select(batch, columns) for table in tables for batch in table.to_batches())
        rows = len(source) if hasattr(source, "__len__") else None
        return Dataset(pieces=[DatasetChunk(name=None, batches=batches)], rows=rows)
    raise InvalidParameter(f"write_table takes a path or a data set, not {type(source).__name__}")


def _open_path(path: Path, schema: CollectionSchema, columns: Selection) -> Dataset:
    files = _files(path)
    suffix = files[0].suffix.lower()
    if suffix == ".parquet":
        return _open_parquet(files, _batch_rows(schema), columns)
    if suffix in _ARROW_FORMATS:
        paths: Any = [str(file) for file in files]
        kind: Any = _ARROW_FORMATS[suffix]
        return _open_dataset(ds.dataset(paths, format=kind), columns)
    format = format_of(files[0].name)
    assert format is not None  # its suffix is one of _SUFFIXES
    groups = [[file] for file in files] if format.file_set is None else _file_sets(files)
    # Times and geometries stay the text that they are in files: the check of the batches reads it.
    read_schema = schema_of_files(schema if columns is None else _selected_fields(schema, columns))
    return Dataset(pieces=(_read_rows(group, format, read_schema, columns) for group in groups))


def _files(path: Path) -> list[Path]:
    """The file itself, or all files of one kind below a folder, sorted by name; hidden ones are left out."""
    if not path.exists():
        raise FileMissing(f"path {str(path)!r} is not there", path=str(path))
    candidates = [path]
    if path.is_dir():
        candidates = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part[0] in "._" for part in file.relative_to(path).parts)
        )
    for suffix in _SUFFIXES:
        files = [file for file in candidates if file.name.lower().endswith(suffix)]
        if files:
            return files
    raise Unsupported(
        f"path {str(path)!r}: no file that can be read; the kinds are {', '.join(_SUFFIXES)}", path=str(path)
    )


def _file_sets(files: Sequence[Path]) -> list[list[Path]]:
    groups: dict[Path, list[Path]] = {}
    for file in files:
        groups.setdefault(file.parent, []).append(file)
    return list(groups.values())


def _open_parquet(files: Sequence[Path], step: int, columns: Selection) -> Dataset:
    rows = 0
    for name in files:
        with pq.ParquetFile(name) as file:
            _check_selection(file.schema_arrow, columns)
            rows += file.metadata.num_rows
    return Dataset(
        pieces=(DatasetChunk(name=str(file), batches=_parquet_batches(file, step, columns)) for file in files),
        rows=rows,
    )


def _batch_rows(schema: CollectionSchema) -> int:
    """Rows per batch of a few megabytes, by the size of their vectors."""
    width = sum(field.width * 4 for field in schema if field.type.is_dense_vector)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, width)))


def _parquet_batches(path: Path, step: int, columns: Selection) -> Iterator[pa.RecordBatch]:
    # Column chunks are read in steps of 1 MiB instead of whole, so that row groups may be of any size. A data set's
    # scanner decodes whole row groups.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(step, columns=_names(columns), use_threads=False):
            yield _select(batch, columns)


def _open_dataset(dataset: ds.Dataset, columns: Selection) -> Dataset:
    _check_selection(dataset.schema, columns)
    is_counted = isinstance(getattr(dataset, "format", None), ds.ParquetFileFormat)
    return Dataset(pieces=_fragments(dataset, columns), rows=dataset.count_rows() if is_counted else None)


def _fragments(dataset: ds.Dataset, columns: Selection) -> Iterator[DatasetChunk]:
    for fragment in dataset.get_fragments():
        batches = fragment.to_batches(
            columns=_names(columns),
            batch_size=_BATCH_ROWS,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        )
        yield DatasetChunk(
            name=getattr(fragment, "path", None), batches=(_select(batch, columns) for batch in batches)
        )


def _pairs(columns: Selection) -> Mapping[str, str]:
    """Map fields to columns."""
    return columns if isinstance(columns, Mapping) else {name: name for name in columns or ()}


def _names(columns: Selection) -> list[str] | None:
    return None if columns is None else [*dict.fromkeys(_pairs(columns).values())]


def _check_selection(schema: pa.Schema, columns: Selection) -> None:
    missing = [name for name in _pairs(columns).values() if name not in schema.names]
    if missing:
        raise DataError(
            f"there is no column '{missing[0]}'", field=missing[0], remedy=f"There are: {', '.join(schema.names)}"
        )


def _select(batch: pa.RecordBatch, columns: Selection) -> pa.RecordBatch:
    if columns is None:
        return batch
    pairs = _pairs(columns)
    return pa.RecordBatch.from_arrays([batch.column(name) for name in pairs.values()], list(pairs))


def _selected_fields(schema: CollectionSchema, columns: Selection) -> CollectionSchema:
    """Rename the fields to their columns in the files, because row formats are parsed by field name."""
    pairs = _pairs(columns)
    unknown = next((name for name in pairs if schema.get(name) is None), None)
    if unknown is not None:
        raise InvalidParameter(f"columns names '{unknown}', which is not a field that a file of rows can have")
    fields = tuple(replace(schema[name], name=column) for name, column in pairs.items())
    return CollectionSchema(fields=fields)


def _read_rows(
    files: Sequence[Path], format: FormatSpec, schema: CollectionSchema, columns: Selection
) -> DatasetChunk:
    """Read a file of an import format, or the columns of a NumPy set, with the server's readers."""
    sources = [
        open_source(Location(uri=file.resolve().as_uri(), name=str(file), size=file.stat().st_size)) for file in files
    ]
    name = str(files[0] if len(files) == 1 else files[0].parent)
    is_strict = columns is None and not schema.dynamic
    if is_strict and format.file_set is not None:
        for file in files:
            if file.stem not in schema.names:
                raise _unknown_field(file.stem).at(file=name)
    # Read as for a dynamic field: unknown columns are kept, and can be rejected with their row.
    request = ReadRequest(
        sources=sources,
        schema=replace(schema, dynamic=True) if is_strict else schema,
        batch_bytes=_BATCH_BYTES,
    )
    batches = _rows(request, format, name)
    if is_strict and format.file_set is None:
        batches = _reject_unknown(batches)
    return DatasetChunk(name=name, batches=(_select(batch, columns) for batch in batches))


def _rows(request: ReadRequest, format: FormatSpec, name: str) -> Iterator[pa.RecordBatch]:
    rows = 0
    for file_range in plan_at_once(format.reader, request, _SPLIT_BYTES):
        for batch in format.reader.read(request, file_range.spec):
            rows += batch.batch.num_rows
            yield batch.batch
    for warning in [*request.warnings, *([] if rows else [no_rows(name)])]:
        if warning.code != "column_dropped":  # only columns that were not selected are dropped
            warnings.warn(warning.message, stacklevel=2)


def _reject_unknown(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = 0
    for batch in batches:
        if META_FIELD not in batch.schema.names:  # formats of columns add it where there are unknown ones
            yield batch
            first += len(batch)
            continue
        metas: Array = batch.column(META_FIELD)
        has_unknown: Array = pc.not_equal(metas, pa.scalar("{}"))
        row = has_unknown.index(True).as_py()
        if row >= 0:
            raise _unknown_field(next(iter(orjson.loads(metas[row].as_py())))).at(row=first + row)
        yield batch.drop_columns([META_FIELD])
        first += len(batch)


def _unknown_field(name: str) -> DataError:
    return DataError(
        f"the field '{name}' is not defined in schema",
        field=name,
        remedy="Remove it, choose columns (columns=[...]; --column on the command line), or use a collection with "
        "a dynamic field, which keeps such values.",
    )
