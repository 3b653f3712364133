"""Infer a collection's schema for files, as the import calls would read them."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.catalog import Catalog
from penstock.domain.access import Caller, Role
from penstock.domain.schema import CollectionSchema
from penstock.errors import DataError, MemoryExceeded, QuotaExceeded, SourceUnavailable, WorkerLost
from penstock.imports.checks import check_groups, check_options
from penstock.imports.file_probe import FileProbe
from penstock.imports.mapped_samples import (
    MAX_COLUMNS,
    SampleMapping,
    columns_of_pattern,
    is_pattern,
    mapped_sample,
)
from penstock.imports.mapping_options import column_mapping_of
from penstock.imports.memory_budget import too_large
from penstock.imports.requests import StoreCredentials
from penstock.imports.settings import JobSettings
from penstock.imports.tasks import explained
from penstock.imports.uploads import uploads_of
from penstock.inference.infer import InferOptions, infer_schema
from penstock.inference.inferred import InferredSchema
from penstock.inference.sampling import MAX_FILES, evenly_spread, sample_file
from penstock.readers.base import InputFile, Sample
from penstock.runners.base import Runner, TaskContext
from penstock.sources.roots import ImportRoots

MAX_PER_ORG = 2
"""Concurrent inferences of one org."""
_NO_SCHEMA = CollectionSchema(fields=(), dynamic=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferSchema:
    """A request for the schema of files; ``groups``, ``options`` and ``keys`` are those of a create call."""

    cluster_id: str
    groups: Sequence[Sequence[str]]
    database: str = "default"
    options: Mapping[str, str] = field(default_factory=dict)
    chosen: InferOptions = field(default_factory=InferOptions)
    keys: StoreCredentials = field(default_factory=StoreCredentials)
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTask:
    """Input files to sample, for a worker: their content may be hostile. ``is_complete``: there are no others."""

    files: Sequence[InputFile]
    options: Mapping[str, str]
    chosen: InferOptions
    is_complete: bool
    memory_limit: int | None = None


def sample_and_infer(task: SampleTask, context: TaskContext) -> InferredSchema:
    """Sample the files and infer their schema.

    Raises:
        ImportRefused, DataError, SourceError, TaskCancelled
    """
    mapping = SampleMapping.of(task.options)
    pattern = task.chosen.vector if is_pattern(task.chosen.vector) else ""
    max_columns = MAX_COLUMNS if pattern or mapping.sources else None
    samples = {}
    for file in task.files:
        context.check()
        try:
            samples[file.name] = sample_file(file, task.options, max_columns)
        except DataError as error:
            raise explained(error, file.locations, _NO_SCHEMA) from error
        except MemoryError as error:
            raise too_large(file.name, task.memory_limit or 0) from error
    return _inferred(samples, mapping, pattern, task)


def _inferred(
    samples: Mapping[str, Sample], mapping: SampleMapping, pattern: str, task: SampleTask
) -> InferredSchema:
    """Infer the schema of samples, with their columns mapped."""
    chosen = task.chosen
    gathered: dict[str, Any] = {}
    if pattern:
        name, columns = columns_of_pattern(pattern, [sample for sample in samples.values() if sample.rows])
        gathered = {name: {"columns": columns}}
        mapping = replace(mapping, sources={**mapping.sources, **gathered})
        chosen = replace(chosen, vector=name)
    if mapping.sources or mapping.dropped:
        samples = {name: mapped_sample(sample, mapping, name) for name, sample in samples.items()}
    inferred = infer_schema(samples, chosen, is_complete=task.is_complete)
    # Refuses what the import would refuse.
    column_mapping_of({**task.options, "mapping": json.dumps(mapping.sources)}, inferred.schema)
    made = [
        f"the vector {name!r} is made of {len(spec['columns']):,} columns: its import needs the same mapping"
        for name, spec in gathered.items()
    ]
    return replace(inferred, mapping=gathered, notes=[*inferred.notes, *made])


class SchemaInference:
    """Answers inferences. ``runner_of`` gives the runner of an org. Thread-safe."""

    def __init__(
        self, catalog: Catalog, roots: ImportRoots, settings: JobSettings, runner_of: Callable[[str], Runner]
    ) -> None:
        self._catalog = catalog
        self._roots = roots
        self._settings = settings
        self._runner_of = runner_of
        self._file_probe = FileProbe()
        self._lock = threading.Lock()
        self._running: dict[str, int] = defaultdict(int)

    def infer(self, request: InferSchema) -> InferredSchema:
        """Infer the schema for files from the first rows of a few of them.

        Raises:
            ClusterNotFound, DatabaseNotFound, PermissionDenied: as for creating an import.
            ImportRefused, InvalidParameter, PathNotAllowed: the request can't be imported, or no schema fits.
            QuotaExceeded: the org has other inferences running.
            DataError, SourceError: a file can't be read.
        """
        cluster = self._catalog.clusters.get(request.cluster_id)
        request.caller.require(Role.WRITER, cluster, request.database)
        self._catalog.databases.get(request.cluster_id, request.database)
        check_options(request.options)
        roots = self._roots.within([request.caller.roots], for_tenant=not request.caller.is_anybody)
        groups = check_groups(
            request.groups, roots, request.keys, self._settings, request.options.get("from_format", "")
        )
        roots = roots.with_uploads(uploads_of(self._catalog, cluster.org_id, groups))
        with self._place(cluster.org_id):
            deadline = time.monotonic() + self._settings.infer_timeout
            files = self._resolve(groups, roots, request, cluster.org_id, deadline)
            chosen = evenly_spread(files, MAX_FILES)
            task = SampleTask(
                files=chosen,
                options=request.options,
                chosen=request.chosen,
                is_complete=len(chosen) == len(files) and len(groups) <= MAX_FILES,
                memory_limit=self._settings.worker_memory,
            )
            return self._run(task, self._runner_of(cluster.org_id), deadline)

    def _resolve(
        self,
        groups: Sequence[Sequence[str]],
        roots: ImportRoots,
        request: InferSchema,
        org_id: str,
        deadline: float,
    ) -> list[InputFile]:
        """Resolve the groups that are looked at to input files."""
        files: list[InputFile] = []
        for group in evenly_spread(groups, MAX_FILES):
            seconds = max(0.1, deadline - time.monotonic())
            preset = request.options.get("from_format", "")
            files += self._file_probe.probe(org_id, group, roots, request.keys, seconds, preset)
        return files

    def _run(self, task: SampleTask, runner: Runner, deadline: float) -> InferredSchema:
        for attempt in (1, 2):
            handle = runner.submit(sample_and_infer, task)
            try:
                return _result(handle.future, deadline)
            except TimeoutError:
                handle.cancel()
                raise SourceUnavailable(
                    f"no worker sampled {task.files[0].name!r} within {self._settings.infer_timeout:g} s: the "
                    "workers are busy, or its store is slow. Try again later"
                ) from None
            except MemoryExceeded as error:
                raise too_large(task.files[0].name, error.details["taken"]) from error
            except WorkerLost:
                if attempt == 2:
                    raise
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _place(self, org_id: str) -> Iterator[None]:
        with self._lock:
            if self._running[org_id] >= MAX_PER_ORG:
                raise QuotaExceeded(
                    f"{MAX_PER_ORG} other inferences of your org are running. Try again when they have ended",
                    limit="inferences",
                    value=MAX_PER_ORG,
                )
            self._running[org_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[org_id] -= 1
                if not self._running[org_id]:
                    del self._running[org_id]


def _result(future: Future[Any], deadline: float) -> InferredSchema:
    result: InferredSchema = future.result(max(0.1, deadline - time.monotonic()))
    return result
