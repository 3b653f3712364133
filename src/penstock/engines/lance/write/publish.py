"""Publish a job's staged rows: make them visible, exactly once.

The commit must fail if another publisher committed between our read of the table and our commit, or a process that
stalled and woke up doubles the rows. Lance offers two ways that do not hold: an Append is rebased over any commits
between; a commit lock replaces the atomic "create the manifest unless it exists", so that two holders that pass their
own check at the same moment both succeed and one commit is lost.

What holds is a Merge, the operation that states the whole list of fragments: Lance refuses it when any append, merge,
delete or compaction was committed since ``read_version`` (an index build may be), and the manifest is still created
atomically, on local disks as in object stores. Ours lists present and staged fragments; the schema stays. Staged
files may lack columns that were added since: their defaults are written before the commit (``add_field``).

A job that can't be published, since the table is damaged, is withdrawn: by a Merge that changes nothing and names the
job. A process that stalled before the commit of its rows is refused by that, and finds the name on its next attempt.
See docs/decisions/0012-withdrawing-an-intent.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from lance.dataset import LanceDataset

from penstock.domain.write_modes import APPEND, WriteMode, WriteOptions
from penstock.engines.base import Published, Staged, Table
from penstock.engines.lance.layout.encoding import JOB_COLUMN
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot, manifest_name
from penstock.engines.lance.maintenance.damage import refuse_damaged
from penstock.engines.lance.write.add_field import with_defaults
from penstock.engines.lance.write.commit import commit_fragments, properties_after, retry_conflicts
from penstock.engines.lance.write.deletions import DeletionWriter
from penstock.engines.lance.write.replace import NewRows, with_new_rows
from penstock.engines.lance.write.staging import file_sizes, fragments
from penstock.errors import JobWithdrawn, StorageError, TableDamaged, Transient

_WITHDRAWN = "withdrawn"
"""Transaction property that names a withdrawn job."""


def publish(
    store: TableRoot,
    table: Table,
    job_id: int,
    epoch: int,
    staged: Sequence[Staged],
    options: WriteOptions = APPEND,
) -> Published:
    doing = f"publishing job {job_id}"
    if sum(split.rows for split in staged) == 0:
        return Published(version=int(store.latest(table.id, doing).version), rows=0)
    dataset = store.latest(table.id, doing)
    try:
        with translating_errors(doing, store.options):
            published = _find_by_transaction(dataset, job_id, table.version, options)
            published = published or _find_by_rows(dataset, job_id, options)
    except StorageError as error:
        if not isinstance(error, Transient):
            refuse_damaged(store, table)  # names the file
        raise
    if published is None:
        with translating_errors(doing, store.options):
            _check_files(store, table, staged)
            new_rows = NewRows.of(store, table, fragments(staged), options)
        published = retry_conflicts(
            _attempt, store, table, job_id, epoch, new_rows, options, doing, int(dataset.version)
        )
    with translating_errors(doing, store.options):
        store.sync_version(table.id, published.version)
    return published


def _attempt(
    store: TableRoot,
    table: Table,
    job_id: int,
    epoch: int,
    new_rows: NewRows,
    options: WriteOptions,
    doing: str,
    absent_until: int,
) -> Published:
    """Commit on top of the newest version; ``absent_until`` is up to which the job is known to be absent."""
    dataset = store.latest(table.id, doing)
    writer = DeletionWriter(store, table.id, int(dataset.version))
    with translating_errors(doing, store.options):
        published = _find_by_transaction(dataset, job_id, absent_until, options)
        if published is not None:
            return published
        with_defaults(store, table, dataset, new_rows.fragments)
    try:
        with translating_errors(doing, store.options):
            # What is replaced depends on the version: it is computed again for each.
            complete, replaced = with_new_rows(store, table, dataset, new_rows, options, writer)
            writer.sync()
            properties = {
                "job": str(job_id),
                "epoch": str(epoch),
                "rows": str(new_rows.rows),
                "replaced": str(replaced),
            }
            version = commit_fragments(store, table.id, dataset, complete, properties)
    except StorageError:
        # The commit may have succeeded although its response was lost.
        dataset = store.latest(table.id, doing)
        with translating_errors(doing, store.options):
            published = _find_by_transaction(dataset, job_id, absent_until, options)
            if published is not None:
                return published
            writer.discard()
        raise
    return Published(version=version, rows=new_rows.rows, replaced=replaced)


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
        version = commit_fragments(
            store, table.id, dataset, unchanged, {_WITHDRAWN: str(job_id), "epoch": str(epoch)}
        )
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


def _find_by_transaction(dataset: LanceDataset, job_id: int, after: int, options: WriteOptions) -> Published | None:
    """Find the job in the transactions of versions later than ``after``, by their properties.

    This holds whatever became of its rows since: while a job is between its intent and its commit no version expires.
    """
    complete = True
    try:
        for version, properties in properties_after(dataset, after):
            if properties is None:
                complete = False
                continue
            if properties.get("job") == str(job_id):
                return Published(version=version, rows=int(properties["rows"]), replaced=int(properties["replaced"]))
            if properties.get(_WITHDRAWN) == str(job_id):
                raise JobWithdrawn(
                    f"The intent of job {job_id} was withdrawn because its table could not be read. Retry the job",
                    job_id=job_id,
                )
    except OSError:
        complete = False  # this version was cleaned up already
    return None if complete else _find_by_rows(dataset, job_id, options)


def _find_by_rows(dataset: LanceDataset, job_id: int, options: WriteOptions) -> Published | None:
    """Find the job by its rows: 5 ms per million rows, right also where compaction and cleanup took the history."""
    rows = _count_rows(dataset, job_id)
    if not rows:
        return None
    replaced = 0 if options.mode is WriteMode.APPEND else None
    return Published(version=int(dataset.version), rows=rows, replaced=replaced)


def _count_rows(dataset: LanceDataset, job_id: int) -> int:
    return int(dataset.count_rows(f"`{JOB_COLUMN}` = {job_id}"))


def _check_files(store: TableRoot, table: Table, staged: Sequence[Staged]) -> None:
    """Check that staged files exist: Lance commits fragments whose files are gone, and every later read fails."""
    expected = file_sizes(staged)
    present = store.files(table.id).sizes(expected)
    for name, size in expected.items():
        if name not in present:
            raise StorageError(
                f"The staged file {name} of table {table.id} is missing. Nothing was published; import again.",
                table=table.id,
                file=name,
            )
        if present[name] != size:
            raise StorageError(
                f"The staged file {name} of table {table.id} has {present[name]} bytes instead of {size}. "
                "Nothing was published; import again.",
                table=table.id,
                file=name,
            )
