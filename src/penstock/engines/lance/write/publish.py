"""Publish the staged rows of jobs: make them visible, exactly once.

The commit must fail if another publisher committed between our read of the table and our commit, or a process that
stalled and woke up doubles the rows. Lance offers two ways that do not hold: an Append is rebased over any commits
between; a commit lock replaces the atomic "create the manifest unless it exists", so that two holders that pass their
own check at the same moment both succeed and one commit is lost.

What holds is a Merge, the operation that states the whole list of fragments: Lance refuses it when any append, merge,
delete or compaction was committed since ``read_version`` (an index build may be), and the manifest is still created
atomically, on local disks as in object stores. Ours lists present and staged fragments; the schema stays. Staged
files may lack columns that were added since: their defaults are written before the commit (``add_field``).

Several jobs that append may be published by one commit: a group commit. Each is looked for on its own, before the
commit and after a conflict, and only those that are absent are part of the next attempt.

A job that can't be published, since the table is damaged, is withdrawn: by a Merge that changes nothing and names the
job. A process that stalled before the commit of its rows is refused by that, and finds the name on its next attempt.
See docs/decisions/0012-withdrawing-an-intent.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lance.dataset import LanceDataset

from penstock.domain.write_modes import APPEND, WriteOptions
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot, manifest_name
from penstock.engines.lance.maintenance.damage import refuse_damaged
from penstock.engines.lance.write.add_field import with_defaults
from penstock.engines.lance.write.commit import commit_fragments, retry_conflicts
from penstock.engines.lance.write.deletions import DeletionWriter
from penstock.engines.lance.write.published_jobs import (
    CommittedJob,
    Outcomes,
    find_by_rows,
    find_by_transaction,
    properties_of,
    withdrawal_of,
)
from penstock.engines.lance.write.replace import NewRows, with_new_rows
from penstock.engines.lance.write.staging import file_sizes, fragments
from penstock.engines.values import Publication, Published, Staged, Table
from penstock.errors import PenstockError, StorageError, TableDamaged, Transient


def publish(
    store: TableRoot,
    table: Table,
    job_id: int,
    epoch: int,
    staged: Sequence[Staged],
    options: WriteOptions = APPEND,
) -> Published:
    job = Publication(job_id=job_id, epoch=epoch, intent_version=table.version, staged=staged)
    outcome = _publish(store, table, [job], options)[job_id]
    if isinstance(outcome, PenstockError):
        raise outcome
    return outcome


def publish_group(
    store: TableRoot, table: Table, jobs: Sequence[Publication]
) -> Mapping[int, Published | PenstockError]:
    return _publish(store, table, jobs, APPEND)


@dataclass(frozen=True, slots=True)
class _NewJob:
    """A job that was absent when it was looked for."""

    publication: Publication
    new_rows: NewRows

    @property
    def id(self) -> int:
        return self.publication.job_id


def _publish(store: TableRoot, table: Table, jobs: Sequence[Publication], options: WriteOptions) -> Outcomes:
    """``options`` of several jobs are those of a plain append."""
    doing = f"publishing {_named([job.job_id for job in jobs])}"
    dataset = store.latest(table.id, doing)
    version = int(dataset.version)
    outcomes: Outcomes = {job.job_id: Published(version=version, rows=0) for job in jobs if not job.rows}
    with_rows = {job.job_id: job for job in jobs if job.rows}
    if not with_rows:
        return outcomes
    try:
        with translating_errors(doing, store.options):
            intents = {job.job_id: job.intent_version for job in with_rows.values()}
            found = find_by_transaction(dataset, intents, options)
            resumed = {job_id for job_id, job in with_rows.items() if not job.own_intent}
            found |= find_by_rows(dataset, resumed - found.keys(), options)
    except StorageError as error:
        if not isinstance(error, Transient):
            refuse_damaged(store, table)  # names the file
        raise
    absent = [job for job_id, job in with_rows.items() if job_id not in found]
    with translating_errors(doing, store.options):
        found |= _missing_files(store, table, absent)
        new = [
            _NewJob(job, NewRows.of(store, table, fragments(job.staged), options))
            for job in absent
            if job.job_id not in found
        ]
    if new:
        found |= retry_conflicts(_attempt, store, table, new, options, doing, version)
    published = [outcome.version for outcome in found.values() if isinstance(outcome, Published)]
    with translating_errors(doing, store.options):
        for version in sorted(set(published)):
            store.sync_version(table.id, version)
    return outcomes | found


def _attempt(
    store: TableRoot, table: Table, jobs: Sequence[_NewJob], options: WriteOptions, doing: str, absent_until: int
) -> Outcomes:
    """Commit on top of the newest version; ``absent_until`` is up to which the jobs are known to be absent."""
    dataset = store.latest(table.id, doing)
    writer = DeletionWriter(store, table.id, int(dataset.version))
    with translating_errors(doing, store.options):
        outcomes = find_by_transaction(dataset, {job.id: absent_until for job in jobs}, options)
        absent = [job for job in jobs if job.id not in outcomes]
        if not absent:
            return outcomes
        new_rows = NewRows.joined([job.new_rows for job in absent])
        with_defaults(store, table, dataset, new_rows.fragments)
    try:
        with translating_errors(doing, store.options):
            # What is replaced depends on the version: it is computed again for each.
            complete, replaced = with_new_rows(store, table, dataset, new_rows, options, writer)
            writer.sync()
            committed = [
                CommittedJob(id=job.id, epoch=job.publication.epoch, rows=job.new_rows.rows, replaced=replaced)
                for job in absent
            ]
            version = commit_fragments(store, table.id, dataset, complete, properties_of(committed))
    except StorageError:
        # The commit may have succeeded although its response was lost.
        dataset = store.latest(table.id, doing)
        with translating_errors(doing, store.options):
            found = find_by_transaction(dataset, {job.id: absent_until for job in absent}, options)
            if len(found) == len(absent):
                return outcomes | found
            writer.discard()
        raise
    return outcomes | {job.id: Published(version=version, rows=job.rows, replaced=job.replaced) for job in committed}


def withdraw(store: TableRoot, table: Table, job_id: int, epoch: int, staged: Sequence[Staged]) -> Published | int:
    doing = f"withdrawing the intent of job {job_id}"
    return retry_conflicts(_withdraw_once, store, table, job_id, epoch, staged, doing)


def _withdraw_once(
    store: TableRoot, table: Table, job_id: int, epoch: int, staged: Sequence[Staged], doing: str
) -> Published | int:
    dataset = store.latest(table.id, doing)
    names = file_sizes(staged).keys()
    with translating_errors(doing, store.options):
        newest = int(dataset.version)
        for version in range(min(table.version, newest), newest + 1):
            # In newer versions a compaction may have joined the job's files with others.
            if names & _data_files(dataset, table, version):
                return Published(version=newest, rows=sum(split.rows for split in staged), replaced=None)
        unchanged = [fragment.metadata for fragment in dataset.get_fragments()]
        version = commit_fragments(store, table.id, dataset, unchanged, withdrawal_of(job_id, epoch))
        store.sync_version(table.id, version)
    return version


def _data_files(dataset: LanceDataset, table: Table, version: int) -> set[str]:
    try:
        snapshot = dataset.checkout_version(version)
    except (OSError, ValueError) as error:
        raise TableDamaged(
            f"The table {table.id} is damaged: its version {version} cannot be opened ({error}). "
            "Restore it from a backup, or drop the collection",
            table=table.id,
            file=manifest_name(version),
        ) from error
    return {f"data/{file.path}" for fragment in snapshot.get_fragments() for file in fragment.data_files()}


def _missing_files(store: TableRoot, table: Table, jobs: Sequence[Publication]) -> Outcomes:
    """The jobs whose staged files are not all there, with the reason of each.

    Lance commits fragments whose files are gone, and every later read fails.
    """
    expected = {job.job_id: file_sizes(job.staged) for job in jobs}
    present = store.files(table.id).sizes([name for sizes in expected.values() for name in sizes])
    outcomes: Outcomes = {}
    for job_id, sizes in expected.items():
        for name, size in sizes.items():
            if present.get(name) != size:
                outcomes[job_id] = _file_error(table, name, size, present.get(name))
                break
    return outcomes


def _file_error(table: Table, name: str, size: int, present: int | None) -> StorageError:
    problem = "is missing" if present is None else f"has {present} bytes instead of {size}"
    return StorageError(
        f"The staged file {name} of table {table.id} {problem}. Nothing was published; import again.",
        table=table.id,
        file=name,
    )


def _named(job_ids: Sequence[int]) -> str:
    return f"job {job_ids[0]}" if len(job_ids) == 1 else f"{len(job_ids)} jobs, the first of which is {job_ids[0]}"
