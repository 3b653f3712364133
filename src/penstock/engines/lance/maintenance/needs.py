"""Which maintenance is due for a table."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.domain.index import IndexSpec
from penstock.engines.lance.index.build import index_is_due
from penstock.engines.lance.index.memory import build_memory
from penstock.engines.lance.index.optimize import optimization_is_due
from penstock.engines.lance.index.probes import probes_are_due
from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot
from penstock.engines.lance.maintenance.compaction import compaction_is_due
from penstock.engines.values import MaintenanceNeeds, Table


def due(store: TableRoot, table: Table, specs: Sequence[IndexSpec]) -> MaintenanceNeeds:
    doing = f"looking at what is due for the table {table.id}"
    dataset = store.latest(table.id, doing)
    with translating_errors(doing, store.options):
        index = index_is_due(dataset, table, specs)
        optimization = optimization_is_due(dataset, table, specs) or probes_are_due(dataset, table, specs)
        return MaintenanceNeeds(
            version=int(dataset.version),
            index=index,
            compaction=compaction_is_due(dataset),
            optimization=optimization,
            memory=build_memory(dataset, table, specs) if index or optimization else 0,
        )
