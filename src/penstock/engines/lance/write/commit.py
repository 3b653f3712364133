"""Commit the whole list of a table's fragments, as a compare-and-set; repeat commits that others preempted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

import lance
from lance.dataset import LanceDataset, LanceOperation
from lance.fragment import FragmentMetadata
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from penstock.engines.lance.layout.tables import TableRoot
from penstock.errors import StorageConflict

_ATTEMPTS = 40
"""Each attempt that fails means that another process changed this table."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def retry_conflicts(
    attempt: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Call ``attempt`` until it doesn't raise StorageConflict, 40 times at most."""
    attempts = Retrying(
        retry=retry_if_exception_type(StorageConflict),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.01, max=0.5),
        reraise=True,
    )
    return attempts(attempt, *args, **kwargs)


def commit_fragments(
    store: TableRoot,
    table_id: str,
    dataset: LanceDataset,
    fragments: Sequence[FragmentMetadata],
    properties: Mapping[str, str],
) -> int:
    """Make these the table's fragments; returns the new version. ``properties`` are stored with the transaction.

    Every fragment of ``dataset`` must be among them, maybe without any rows: Lance then leaves it out.
    Refused when any append, merge, delete or compaction was committed after ``dataset``.
    """
    transaction = lance.Transaction(
        read_version=int(dataset.version),
        operation=LanceOperation.Merge(list(fragments), dataset.lance_schema),
        transaction_properties=dict(properties),
    )
    committed = LanceDataset.commit(
        store.uri(table_id), transaction, storage_options=store.options or None, max_retries=0
    )
    return int(committed.version)


def properties_after(dataset: LanceDataset, version: int) -> Iterator[tuple[int, Mapping[str, str] | None]]:
    """The properties of the transactions of all versions after ``version``, newest first.

    None where they can't be read: of a compaction that remapped indexes, Lance 14 can write the transaction, not
    read it.

    Raises:
        OSError: a version was cleaned up already.
    """
    for number in range(int(dataset.version), version, -1):
        try:
            transaction = dataset.read_transaction(number)
        except TypeError:
            yield number, None
            continue
        yield number, (transaction.transaction_properties if transaction else None) or {}
