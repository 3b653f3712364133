"""Compute which rows a publish replaces, and which rows of the job with the same key it leaves out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from lance.dataset import LanceDataset
from lance.fragment import FragmentMetadata

from penstock.domain.arrow_schema import PARTITION_COLUMN
from penstock.domain.write_modes import Duplicates, WriteMode, WriteOptions
from penstock.engines.lance.layout.encoding import JOB_COLUMN
from penstock.engines.lance.layout.manifest import highest_fragment_id
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.read.row_expiry import not_expired
from penstock.engines.lance.write.deletions import (
    DeletionWriter,
    Mask,
    RowMasks,
    addresses_of,
    without,
    without_any,
)
from penstock.engines.lance.write.keys import StagedKeys, count_visible, rows_with_keys, superfluous_rows
from penstock.engines.values import Table


@dataclass(frozen=True)
class NewRows:
    """The staged fragments of jobs, in order; ``superfluous`` are the rows of each that aren't published."""

    fragments: Sequence[FragmentMetadata]
    superfluous: Sequence[Mask] | None = None

    @classmethod
    def of(
        cls, store: TableRoot, table: Table, fragments: Sequence[FragmentMetadata], options: WriteOptions
    ) -> NewRows:
        if options.duplicates not in (Duplicates.FIRST, Duplicates.LAST):
            return cls(fragments)
        keys = StagedKeys(store, table, fragments)
        return cls(fragments, superfluous_rows(keys, keep_last=options.duplicates is Duplicates.LAST))

    @classmethod
    def joined(cls, parts: Sequence[NewRows]) -> NewRows:
        """The rows of several jobs, of which all are published, or those of the only one."""
        if len(parts) == 1:
            return parts[0]
        return cls([fragment for part in parts for fragment in part.fragments])

    @property
    def rows(self) -> int:
        """How many rows are published."""
        superfluous = sum(int(np.count_nonzero(mask)) for mask in self.superfluous or ())
        return sum(int(fragment.physical_rows) for fragment in self.fragments) - superfluous

    def numbered(self, highest: int, writer: DeletionWriter) -> list[FragmentMetadata]:
        """Copies with ids above ``highest``, without the superfluous rows."""
        numbered: list[FragmentMetadata] = []
        for position, fragment in enumerate(self.fragments):
            added = copy.copy(fragment)
            added.id = highest + 1 + len(numbered)
            if self.superfluous is not None and self.superfluous[position].any():
                if self.superfluous[position].all():
                    continue
                added = writer.keep_only(added, ~self.superfluous[position])
            numbered.append(added)
        return numbered


def with_new_rows(
    store: TableRoot,
    table: Table,
    dataset: LanceDataset,
    new_rows: NewRows,
    options: WriteOptions,
    writer: DeletionWriter,
) -> tuple[list[FragmentMetadata], int]:
    """The table's fragments once the rows are published, and how many visible rows they replace."""
    present, replaced = _remaining(store, table, dataset, new_rows, options, writer)
    return [*present, *new_rows.numbered(highest_fragment_id(dataset), writer)], replaced


def _remaining(
    store: TableRoot,
    table: Table,
    dataset: LanceDataset,
    new_rows: NewRows,
    options: WriteOptions,
    writer: DeletionWriter,
) -> tuple[list[FragmentMetadata], int]:
    if options.mode is WriteMode.APPEND:
        return [fragment.metadata for fragment in dataset.get_fragments()], 0
    if options.mode is WriteMode.UPSERT:
        masks, replaced = rows_with_keys(dataset, table, StagedKeys(store, table, new_rows.fragments))
    elif options.partition is not None:
        masks, replaced = _rows_of_partition(dataset, table, options.partition)
    else:
        replaced = int(dataset.count_rows(None if table.expiry is None else not_expired(table.expiry)))
        return list(without_any(dataset, writer)), replaced
    return list(without(dataset, masks.by_fragment, writer)), replaced


def _rows_of_partition(dataset: LanceDataset, table: Table, partition: int) -> tuple[RowMasks, int]:
    masks, visible = RowMasks(dataset), 0
    scan = dataset.scanner(columns=[JOB_COLUMN], filter=f"`{PARTITION_COLUMN}` = {partition}", with_row_address=True)
    for batch in scan.to_batches():
        masks.add(addresses_of(batch))
        visible += count_visible(batch.column(JOB_COLUMN).to_numpy(), table.expiry)
    return masks, visible
