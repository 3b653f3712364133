"""Build a large vector index by tasks on several hosts: a distributed build.

The partitions are trained once, on a sample. Then each group of fragments becomes a segment of its own, with these
partitions, that no version has yet; one commit puts all of them in the place of what was there. Reading the
rows, comparing them with all partitions and sorting them takes most of the time, and this is what the groups do.

Only kinds whose segments can be searched together: those of IVF_FLAT have no codes, and those of IVF_SQ have bounds
of their own for their 8-bit codes. They are never merged with each other, and go with the next training. Each search
reads all of them, so there are few.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from lance.dataset import Index, LanceDataset
from lance.indices import IndicesBuilder

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType, Field
from penstock.engines.lance.index.build import (
    ActualIndex,
    desired_indexes,
    existing_indexes,
    index_name,
    is_to_be_built,
    needs_training,
    training_options,
)
from penstock.engines.lance.index.mapping import DesiredIndex, partitions_for, vector_bytes
from penstock.engines.lance.index.memory import group_memory, partition_memory
from penstock.engines.lance.index.present_rows import present_rows
from penstock.engines.lance.index.segment_commit import delete_unless_used, put_in_place
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.values import BuiltGroup, DistributedBuild, Table
from penstock.errors import StorageConflict

MAX_GROUPS = 8
"""A search of 8 segments takes 1.4 to 1.6 times the processor time of one, and 2.1 times that with 16."""

LEAST_GROUP_BYTES = 16 << 30
"""Vectors of a group. A build takes 13 to 28 processor seconds per GB: less than twice this is a minute's work of one
host with 16 processors, while each search would read more segments."""

_KINDS = ("IVF_FLAT", "IVF_SQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What the tasks of a build have in common. They read ``version``, of which the index covers ``rows``."""

    id: str
    desired: DesiredIndex
    metric: Metric
    target: Field
    version: int
    rows: int
    groups: Sequence[Sequence[int]]

    @property
    def centroids(self) -> str:
        """The file with the trained partitions: below the indexes, where it is an orphan file if it is left."""
        return f"_indices/{self.id}/centroids.npy"


def plan(store: TableRoot, table: Table, spec: IndexSpec, hosts: int) -> DistributedBuild | None:
    """The distributed build that is due for an index; None if one task is enough, or there is nothing to train."""
    target = table.schema[spec.field_name]
    if hosts < 2 or target.type is not DataType.FLOAT_VECTOR:
        return None
    doing = f"planning the index {spec.name} of the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        rows = int(dataset.count_rows())
        for desired, _ in desired_indexes(dataset, table, [spec], rows):
            if desired.kind in _KINDS and desired.metric is not None:
                actual = existing_indexes(dataset).get(index_name(desired.column))
                return _planned(dataset, desired, desired.metric, target, actual, rows, hosts)
    return None


def _planned(
    dataset: LanceDataset,
    desired: DesiredIndex,
    metric: Metric,
    target: Field,
    actual: ActualIndex | None,
    rows: int,
    hosts: int,
) -> DistributedBuild | None:
    live = {
        fragment.fragment_id: int(fragment.physical_rows) - int(fragment.num_deletions)
        for fragment in dataset.get_fragments()
    }
    is_training = actual is not None and not is_to_be_built(dataset, desired, target, actual, rows)
    if actual is not None and is_training:
        if not needs_training(dataset, desired, target, actual):
            return None
        covered = {id_ for segment in actual.segments for id_ in segment.fragment_ids}
        live = {id_: count for id_, count in live.items() if id_ in covered}
        rows = actual.rows
    present = present_rows(dataset, target, rows)
    groups = cut(live, min(hosts, MAX_GROUPS, vector_bytes(target, present) // LEAST_GROUP_BYTES))
    if len(groups) < 2:
        return None
    partitions = partitions_for(desired, target, present)
    return DistributedBuild(
        groups=len(groups),
        training_memory=partition_memory(target, partitions, present),
        group_memory=group_memory(target, partitions, present),
        is_training=is_training,
        replaced=frozenset(str(segment.uuid) for segment in (actual.segments if actual else ())),
        plan=_Plan(
            id=str(uuid.uuid4()),
            desired=desired,
            metric=metric,
            target=target,
            version=int(dataset.version),
            rows=rows,
            groups=groups,
        ),
    )


def cut(rows: Mapping[int, int], most: int) -> list[list[int]]:
    """Cut fragments, given with their rows, into at most ``most`` groups of about as many rows each."""
    total, before = sum(rows.values()), 0
    groups: dict[int, list[int]] = {}
    for id_, count in sorted(rows.items()):
        # A fragment goes where its middle is.
        groups.setdefault((2 * before + count) * most // (2 * total) if total else 0, []).append(id_)
        before += count
    return list(groups.values())


def train(store: TableRoot, table: Table, build: DistributedBuild, memory: int | None) -> None:
    """Train the partitions on a sample, and save them for the tasks of the groups. ``memory`` bounds the sample."""
    planned = _plan_of(build)
    doing = f"training the index on {planned.target.name} of the table {table.id}"
    dataset = _opened(store, table, planned, doing)
    with translating_errors(doing, store.options):
        options = _options(dataset, planned, memory)
        model = IndicesBuilder(dataset, planned.desired.column).train_ivf(
            options["num_partitions"],
            distance_type=options["metric"],
            # A number of partitions that was asked for may leave fewer rows for each.
            sample_rate=max(1, min(options["sample_rate"], planned.rows // options["num_partitions"])),
            fragment_ids=[id_ for group in planned.groups for id_ in group],
        )
        file = io.BytesIO()
        values = cast("pa.FixedSizeListArray[Any, Any]", model.centroids).flatten()
        np.save(file, values.to_numpy().reshape(-1, planned.target.width))
        store.files(table.id).write(planned.centroids, file.getvalue())


def build_group(
    store: TableRoot, table: Table, build: DistributedBuild, group: int, memory: int | None
) -> BuiltGroup:
    """Index a group of fragments into a segment, durably; no version has it yet."""
    planned = _plan_of(build)
    doing = f"indexing a group of fragments of the table {table.id}"
    dataset = _opened(store, table, planned, doing)
    with translating_errors(doing, store.options):
        files = store.files(table.id)
        content = files.read(planned.centroids)
        if content is None:
            raise StorageConflict(f"Another process ended the build while {doing}. Nothing was changed")
        segment = dataset.create_index_uncommitted(
            planned.desired.column,
            planned.desired.kind,
            name=index_name(planned.desired.column),
            fragment_ids=list(planned.groups[group]),
            ivf_centroids=np.load(io.BytesIO(content), allow_pickle=False),
            **_options(dataset, planned, memory),
        )
        files.sync(files.names(f"_indices/{segment.uuid}"))
    return BuiltGroup(note=segment)


def commit(store: TableRoot, table: Table, build: DistributedBuild, groups: Sequence[BuiltGroup]) -> int:
    """Commit the segments of all groups at once; returns the table's version after it. Deletes what is not used then.

    Raises:
        StorageConflict: another process has changed the index. Nothing was changed.
    """
    planned = _plan_of(build)
    doing = f"committing the index on {planned.target.name} of the table {table.id}"
    segments = [cast(Index, group.note) for group in groups]
    try:
        version = put_in_place(store, table, doing, planned.desired, segments, build.replaced)
    except BaseException:
        discard(store, table, build, groups)
        raise
    discard(store, table, build, [])
    store.forget(table.id)  # the next read opens the version that has the index
    return version


def discard(store: TableRoot, table: Table, build: DistributedBuild, groups: Sequence[BuiltGroup]) -> None:
    """Delete the trained partitions of a build, and segments of it that no version has. Idempotent."""
    planned = _plan_of(build)
    if groups:
        delete_unless_used(store, table, planned.version, [cast(Index, group.note) for group in groups])
    # What can't be deleted now is found later as an orphan file.
    with suppress(Exception):
        store.files(table.id).delete([planned.centroids])


def _plan_of(build: DistributedBuild) -> _Plan:
    return cast(_Plan, build.plan)


def _opened(store: TableRoot, table: Table, planned: _Plan, doing: str) -> LanceDataset:
    newest = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        return newest.checkout_version(planned.version)


def _options(dataset: LanceDataset, planned: _Plan, memory: int | None) -> dict[str, Any]:
    return training_options(dataset, planned.desired, planned.metric, planned.target, planned.rows, memory)
