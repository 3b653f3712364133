"""A second engine, as small as one can be: the core of the protocol over files of Arrow batches, without maintenance.

It stands for engines that maintain their tables themselves, such as a remote service.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.domain.arrow_schema import PARTITION_COLUMN, canonical_schema
from penstock.domain.index import Metric
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.domain.write_modes import APPEND, Duplicates, WriteMode, WriteOptions
from penstock.engines.base import Engine
from penstock.engines.result_limit import ResultLimit
from penstock.engines.values import (
    DuplicateKey,
    EngineCapabilities,
    Publication,
    Published,
    QueryHits,
    Reversal,
    Reverted,
    SearchRequest,
    Staged,
    Table,
)
from penstock.errors import (
    FieldNotFound,
    InvalidParameter,
    JobWithdrawn,
    PenstockError,
    StorageConflict,
    StorageError,
)
from penstock.filters import Filter
from tests.support.engines import published_singly
from tests.support.filter_oracle import evaluate

__all__ = ["ArrowEngine"]

_ATTEMPTS = 100


@dataclass(frozen=True)
class _Version:
    """What readers see: ``files`` by job, without the rows of ``removed`` partitions, and without the numbers of
    ``gone`` rows, both by file.

    ``rows`` and ``replaced`` are those of each job's publish, the latter by file; ``reverted`` has how many rows went
    and came back.
    """

    number: int = 1
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, Sequence[int]] = field(default_factory=dict)
    gone: Mapping[str, Sequence[int]] = field(default_factory=dict)
    replaced: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    reverted: Mapping[str, Sequence[int]] = field(default_factory=dict)
    withdrawn: Sequence[str] = ()
    added: Sequence[str] = ()

    def hiding(self, rows: Mapping[str, Sequence[int]]) -> _Version:
        names = [*self.gone, *(name for name in rows if name not in self.gone)]
        return replace(self, gone={name: sorted({*self.gone.get(name, ()), *rows.get(name, ())}) for name in names})

    def showing(self, rows: Mapping[str, Sequence[int]]) -> _Version:
        return replace(
            self, gone={name: sorted({*numbers} - {*rows.get(name, ())}) for name, numbers in self.gone.items()}
        )


class ArrowEngine:
    """Tables are folders below ``root``: ``data`` has staged and published files, ``versions`` which readers see.

    A version is written by creating its file exclusively: of two publishers one succeeds, the other tries again.
    """

    name = "arrow"
    storage_version = "1"
    capabilities = EngineCapabilities(metrics=frozenset({Metric.L2, Metric.IP, Metric.COSINE}), row_expiry=False)
    maintainable = None

    def __init__(self, root: Path) -> None:
        self._root = root

    def check(self, known: Sequence[str] = ()) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        if known and not set(known) & set(self.tables()):
            raise StorageError(f"The store {self._root} has none of the {len(known)} tables in the catalog. Mount it")

    def tables(self) -> list[str]:
        return sorted(path.name for path in self._root.iterdir())

    def create(self, table: Table) -> int:
        folder = self._root / table.id
        if not folder.exists():
            (folder / "data").mkdir(parents=True)
            (folder / "versions").mkdir()
            self._write(table.id, _Version())
        return self._newest(table.id).number

    def add_field(self, table: Table, field: Field) -> int:
        def add(version: _Version) -> _Version:
            return version if field.name in version.added else replace(version, added=[*version.added, field.name])

        return self._commit(table.id, add).number

    def drop(self, table_id: str) -> None:
        shutil.rmtree(self._root / table_id, ignore_errors=True)

    def stage(self, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
        folder = self._root / table.id / "data"
        if not folder.exists():
            raise StorageError(f"The table {table.id} is not in the store {self._root}")
        name, rows, schema = f"{uuid.uuid4().hex}.arrow", 0, canonical_schema(table.schema)
        unfinished = folder / f".tmp-{name}"
        try:
            with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for batch in batches:
                    missing = set(schema.names) - set(batch.schema.names)
                    if missing:
                        raise StorageError(f"the columns {', '.join(sorted(missing))} are missing")
                    columns = batch.select(schema.names).columns
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
                    rows += len(batch)
            if not rows:
                return Staged(rows=0, size=0, note={"files": []})
            unfinished.rename(folder / name)
        finally:
            unfinished.unlink(missing_ok=True)
        return Staged(rows=rows, size=(folder / name).stat().st_size, note={"files": [name]})

    def find_duplicate(self, table: Table, staged: Sequence[Staged]) -> DuplicateKey | None:
        first: dict[Any, int] = {}
        keys = self._staged_keys(table, staged)
        for row, key in enumerate(keys):
            if key in first:
                return DuplicateKey(key=key, rows=(first[key], row))
            first[key] = row
        return None

    def publish(
        self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged], options: WriteOptions = APPEND
    ) -> Published:
        job = str(job_id)
        names = [name for split in staged for name in split.note["files"]]

        def add(version: _Version) -> _Version:
            if job in version.withdrawn:
                raise JobWithdrawn(f"the commit of job {job} was taken back", job_id=job_id)
            if job in version.files or not names:
                return version
            for name in names:
                if not (self._root / table.id / "data" / name).exists():
                    raise StorageError(f"The staged file {name} is missing", file=name)
            replaced = self._replaced(table, version, set(self._staged_keys(table, staged)), options)
            superfluous = self._superfluous(table, names, options.duplicates)
            rows = sum(split.rows for split in staged) - _total(superfluous)
            return replace(
                version.hiding(replaced).hiding(superfluous),
                files={**version.files, job: names},
                rows={**version.rows, job: rows},
                replaced={**version.replaced, job: replaced},
            )

        version = self._commit(table.id, add)
        replaced = _total(version.replaced.get(job, {}))
        return Published(version=version.number, rows=version.rows.get(job, 0), replaced=replaced)

    def publish_group(self, table: Table, jobs: Sequence[Publication]) -> Mapping[int, Published | PenstockError]:
        return published_singly(self, table, jobs)

    def check_revert(self, table: Table, job_id: int, reversal: Reversal) -> int:
        return reversal.published.rows - _total(self._rows_of_job(self._newest(table.id), table, job_id))

    def revert(self, table: Table, job_id: int, epoch: int, reversal: Reversal) -> Reverted | int:
        job = str(job_id)

        def revert(version: _Version) -> _Version:
            if job in version.reverted:
                return version
            own = self._rows_of_job(version, table, job_id)
            if reversal.published.rows - _total(own) != reversal.missing:
                return version
            restored = {
                name: [row for row in rows if self._column(table, name, PARTITION_COLUMN)[row] in reversal.partitions]
                for name, rows in version.replaced[job].items()
            }
            counts = [_total(own), _total(restored)]
            return replace(version.hiding(own).showing(restored), reverted={**version.reverted, job: counts})

        version = self._commit(table.id, revert)
        if job not in version.reverted:
            return self.check_revert(table, job_id, reversal)
        removed, restored = version.reverted[job]
        return Reverted(version=version.number, removed=removed, restored=restored)

    def _rows_of_job(self, version: _Version, table: Table, job_id: int) -> Mapping[str, Sequence[int]]:
        """The visible rows of a job, by file."""
        return {name: self._visible(table, version, name) for name in version.files[str(job_id)]}

    def _replaced(
        self, table: Table, version: _Version, keys: set[Any], options: WriteOptions
    ) -> dict[str, list[int]]:
        replaced = {}
        for name in (name for names in version.files.values() for name in names):
            rows = self._visible(table, version, name)
            if options.mode is WriteMode.UPSERT:
                present = self._column(table, name, table.schema.primary.name)
                rows = [row for row in rows if present[row] in keys]
            elif options.mode is WriteMode.OVERWRITE and options.partition is not None:
                parts = self._column(table, name, PARTITION_COLUMN)
                rows = [row for row in rows if parts[row] == options.partition]
            elif options.mode is WriteMode.APPEND:
                rows = []
            if rows:
                replaced[name] = rows
        return replaced

    def _superfluous(self, table: Table, names: Sequence[str], duplicates: Duplicates) -> dict[str, list[int]]:
        if duplicates not in (Duplicates.FIRST, Duplicates.LAST):
            return {}
        rows = [
            (name, row, key)
            for name in names
            for row, key in enumerate(self._column(table, name, table.schema.primary.name))
        ]
        kept: set[Any] = set()
        superfluous: dict[str, list[int]] = {}
        for name, row, key in rows if duplicates is Duplicates.FIRST else reversed(rows):
            if key in kept:
                superfluous.setdefault(name, []).append(row)
            kept.add(key)
        return superfluous

    def _visible(self, table: Table, version: _Version, name: str) -> list[int]:
        """The numbers of the rows of a published file that readers see."""
        gone, removed = set(version.gone.get(name, ())), set(version.removed.get(name, ()))
        parts = self._column(table, name, PARTITION_COLUMN)
        return [row for row, part in enumerate(parts) if row not in gone and part not in removed]

    def _staged_keys(self, table: Table, staged: Sequence[Staged]) -> list[Any]:
        names = [name for split in staged for name in split.note["files"]]
        return [key for name in names for key in self._column(table, name, table.schema.primary.name)]

    def _column(self, table: Table, name: str, column: str) -> list[Any]:
        with pa.OSFile(str(self._root / table.id / "data" / name), "rb") as source:
            return pa.ipc.open_file(source).read_all()[column].to_pylist()

    def withdraw(self, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
        job = str(job_id)

        def withdraw(version: _Version) -> _Version:
            return version if job in version.files else replace(version, withdrawn=[*version.withdrawn, job])

        version = self._commit(table.id, withdraw)
        if job in version.files:
            replaced = _total(version.replaced[job])
            return Published(version=version.number, rows=version.rows[job], replaced=replaced)
        return version.number

    def discard(self, table_id: str, staged: Sequence[Staged]) -> None:
        for split in staged:
            for name in split.note["files"]:
                (self._root / table_id / "data" / name).unlink(missing_ok=True)

    def save_rejects(self, table_id: str, job_id: int, name: str, content: bytes) -> None:
        folder = self._root / table_id / "rejects" / str(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    def reject_names(self, table_id: str, job_id: int) -> list[str]:
        return sorted(path.name for path in (self._root / table_id / "rejects" / str(job_id)).glob("*"))

    def rejects(self, table_id: str, job_id: int, name: str) -> bytes | None:
        path = self._root / table_id / "rejects" / str(job_id) / name
        return path.read_bytes() if path.exists() else None

    def jobs_with_rejects(self, table_id: str) -> list[int]:
        return sorted(int(path.name) for path in (self._root / table_id / "rejects").glob("*"))

    def delete_rejects(self, table_id: str, job_id: int, names: Sequence[str] | None = None) -> None:
        folder = self._root / table_id / "rejects" / str(job_id)
        for name in self.reject_names(table_id, job_id) if names is None else names:
            (folder / name).unlink(missing_ok=True)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()

    def remove_partition(self, table: Table, partition: int) -> int:
        def remove(version: _Version) -> _Version:
            names = [name for names in version.files.values() for name in names]
            removed = {name: [*version.removed.get(name, ()), partition] for name in names}
            return replace(version, removed=removed)

        return self._commit(table.id, remove).number

    def count(self, table: Table, filter: Filter | None = None, partitions: Sequence[int] | None = None) -> int:
        return len(self._rows(table, filter, partitions))

    def query(
        self,
        table: Table,
        *,
        filter: Filter | None = None,
        partitions: Sequence[int] | None = None,
        columns: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
        max_bytes: int | None = None,
    ) -> pa.Table:
        names = _output(table.schema, columns)
        rows = self._rows(table, filter, partitions).slice(offset, limit).select(names)
        ResultLimit(max_bytes).add(rows)
        return rows

    def search(self, table: Table, request: SearchRequest) -> list[QueryHits]:
        target = table.schema[request.field_name]
        if request.metric not in self.capabilities.metrics:
            raise InvalidParameter(f"field {target.name} of type {target.type} can't be searched by {request.metric}")
        for query in request.queries:
            if target.type.is_dense_vector and len(query) != target.width:
                raise InvalidParameter(f"the query has {len(query)} values, field {target.name} has {target.width}")
        rows = self._rows(table, request.filter, request.partitions)
        rows = rows.filter(pc.is_valid(rows[target.name]))
        vectors: Any = rows[target.name].combine_chunks()
        if target.type.is_dense_vector:
            numbers = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, target.width)
            scores = [_scores(numbers, np.asarray(query, np.float64), request.metric) for query in request.queries]
        else:
            scores = [_inner_products(vectors.to_pylist(), query) for query in request.queries]
        names = _output(table.schema, request.columns)
        found = [_hits(rows.select(names), scores_of_query, request) for scores_of_query in scores]
        limit = ResultLimit(request.max_bytes)
        for hits in found:
            limit.add(hits.rows)
        return found

    def _newest(self, table_id: str) -> _Version:
        numbers = [int(path.stem) for path in (self._root / table_id / "versions").glob("[0-9]*.json")]
        if not numbers:
            raise StorageError(f"The table {table_id} is not in the store {self._root}", table=table_id)
        return _Version(**json.loads((self._root / table_id / "versions" / f"{max(numbers)}.json").read_text()))

    def _commit(self, table_id: str, change: Callable[[_Version], _Version]) -> _Version:
        """Write the version that follows the newest one; again on top of what another publisher has written first."""
        for _ in range(_ATTEMPTS):
            newest = self._newest(table_id)
            changed = change(newest)
            if changed is newest:
                return newest
            following = replace(changed, number=newest.number + 1)
            if self._write(table_id, following):
                return following
        raise StorageConflict(f"others kept changing the table {table_id}")

    def _write(self, table_id: str, version: _Version) -> bool:
        """Whether the version was written; False: there is one of its number."""
        folder = self._root / table_id / "versions"
        unfinished = folder / f".tmp-{uuid.uuid4().hex}"
        unfinished.write_text(json.dumps(asdict(version)))
        try:
            (folder / f"{version.number}.json").hardlink_to(unfinished)
        except FileExistsError:
            return False
        finally:
            unfinished.unlink()
        return True

    def _rows(self, table: Table, filter: Filter | None, partitions: Sequence[int] | None) -> pa.Table:
        """The matching rows in key order, with all columns."""
        version = self._newest(table.id)
        if version.number < table.version:
            raise StorageError(f"The table {table.id} stands at version {version.number}, not {table.version}")
        parts = [canonical_schema(table.schema).empty_table()]
        for name in (name for names in version.files.values() for name in names):
            with pa.OSFile(str(self._root / table.id / "data" / name), "rb") as source:
                rows = _completed(pa.ipc.open_file(source).read_all(), table.schema)
            parts.append(rows.take(pa.array(self._visible(table, version, name), pa.int64())))
        rows = pa.concat_tables(parts)
        if partitions is not None:
            rows = rows.filter(pc.is_in(rows[PARTITION_COLUMN], pa.array(partitions, pa.int64())))
        if filter is not None:
            rows = rows.filter(pa.array(_matches(rows, table.schema, filter), pa.bool_()))
        return rows.take(pc.sort_indices(rows[table.schema.primary.name]))


def _total(rows: Mapping[str, Sequence[int]]) -> int:
    return sum(map(len, rows.values()))


def _completed(rows: pa.Table, schema: CollectionSchema) -> pa.Table:
    """Fields that were added after the rows: their defaults, else null."""
    arrays: list[Any] = []
    for column in canonical_schema(schema):
        known = schema.get(column.name)
        default = None if known is None else known.default
        is_there = column.name in rows.schema.names
        arrays.append(rows[column.name] if is_there else pa.repeat(pa.scalar(default, column.type), len(rows)))
    return pa.Table.from_arrays(arrays, schema=canonical_schema(schema))


def _output(schema: CollectionSchema, columns: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys([schema.primary.name, *columns]))
    for name in names:
        if schema.get(name) is None and not (name == META_FIELD and schema.dynamic):
            raise FieldNotFound(f"field {name} not exist", field=name)
    return names


def _matches(rows: pa.Table, schema: CollectionSchema, filter: Filter) -> list[bool]:
    documents = {each.name for each in schema if each.type is DataType.JSON} | {META_FIELD}
    scalars = [name for name in rows.schema.names if (known := schema.get(name)) is None or not known.type.is_vector]

    def decoded(row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: json.loads(row[name]) if name in documents and row[name] else row[name] for name in row}

    return [evaluate(filter, decoded(row)) is True for row in rows.select(scalars).to_pylist()]


def _scores(rows: npt.NDArray[Any], query: npt.NDArray[Any], metric: Metric) -> npt.NDArray[np.float64]:
    if metric is Metric.L2:
        return np.asarray(((rows - query) ** 2).sum(axis=1))
    products = rows @ query
    if metric is Metric.IP:
        return np.asarray(products)
    return np.asarray(products / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query)))


def _inner_products(
    rows: Sequence[Mapping[str, Sequence[float]]], query: Mapping[int, float] | Any
) -> npt.NDArray[np.float64]:
    """NaN for rows that share no index with the query: they are no hits."""
    scores = []
    for row in rows:
        cells = dict(zip(row["indices"], row["values"], strict=True))
        shared = [cells[index] * query[index] for index in query if index in cells]
        scores.append(sum(shared) if shared else np.nan)
    return np.asarray(scores, np.float64)


def _hits(rows: pa.Table, scores: npt.NDArray[np.float64], request: SearchRequest) -> QueryHits:
    sign = -1 if request.metric.higher_is_nearer else 1
    distances = sign * scores
    inside = ~np.isnan(scores)
    if request.radius is not None:
        inside &= distances < sign * request.radius
    if request.range_filter is not None:
        inside &= distances >= sign * request.range_filter
    if request.beyond is not None:
        inside &= sign * scores.astype(np.float32) > sign * np.float32(request.beyond)
    order = np.argsort(distances, kind="stable")
    order = order[inside[order]][request.offset : request.offset + request.limit]
    return QueryHits(rows=rows.take(pa.array(order, pa.int64())), scores=scores[order].astype(np.float32))


if TYPE_CHECKING:

    def _is_an_engine(engine: ArrowEngine) -> Engine:
        return engine
