"""A collection with an index that grows by imports of clustered rows."""

from __future__ import annotations

from pathlib import Path

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.collections.index_requests import CreateIndex
from penstock.collections.indexes import IndexState
from penstock.domain.collections import Collection
from penstock.domain.index import Metric
from penstock.domain.jobs import JobState
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.values import SearchRequest, Table
from tests.support.worlds import World

__all__ = ["GrowingCollection"]


class GrowingCollection:
    """Each import has as many ``rows`` of ``dim`` dimensions."""

    def __init__(self, world: World, *, dim: int, rows: int) -> None:
        self.world = world
        self._dim, self._rows = dim, rows
        schema = CollectionSchema(
            fields=(
                Field(name="id", type=DataType.INT64, primary=True),
                Field(name="vector", type=DataType.FLOAT_VECTOR, dim=dim),
            )
        )
        self.docs: Collection = world.collection(schema=schema)
        request = CreateIndex(field_name="vector", index_type="AUTOINDEX", metric="L2", params={})
        world.indexes.create(self.docs, request)
        self.rows: npt.NDArray[np.float32] = np.empty((0, dim), np.float32)

    def imported(self) -> None:
        rng, count, dim = np.random.default_rng(len(self.rows)), self._rows, self._dim
        centres = np.random.default_rng(0).normal(size=(100, dim)) * 2
        new = (centres[rng.integers(0, 100, count)] + rng.normal(size=(count, dim))).astype(np.float32)
        ids = range(len(self.rows), len(self.rows) + count)
        column = pa.FixedSizeListArray.from_arrays(pa.array(new.reshape(-1)), dim)
        name = f"{len(self.rows)}.parquet"
        pq.write_table(pa.table({"id": ids, "vector": column}), self.world.files / name)
        assert self.world.imported([name]).state is JobState.COMPLETED
        self.rows = np.concatenate([self.rows, new])

    @property
    def table(self) -> Table:
        return Table.of(self.world.fresh(self.docs))

    @property
    def home(self) -> Path:
        return self.world.folder / "collections" / f"{self.docs.id}.lance"

    @property
    def partitions(self) -> list[int]:
        """The number of partitions of each segment."""
        segments = lance.dataset(str(self.home)).stats.index_stats("vector.index")["segments"]
        return [int(segment["num_partitions"]) for segment in segments]

    @property
    def segments(self) -> int:
        return len(self.partitions)

    @property
    def is_training(self) -> bool:
        return self.world.scheduler.maintenance._optimizing.is_alive()

    def until_optimized(self) -> None:
        specs = self.world.indexes.list(self.docs)
        self.world.until(lambda: not self.world.engine.due(self.table, specs).optimization and not self.is_training)

    def expect_all_found(self) -> None:
        """By the catalog's version of the table, as a server searches."""
        status = self.world.indexes.status(self.world.fresh(self.docs), "vector")
        assert (status.rows, status.pending_rows, status.state) == (len(self.rows), 0, IndexState.FINISHED)
        places = np.random.default_rng(1).choice(len(self.rows), 20)
        request = SearchRequest(field_name="vector", queries=self.rows[places], metric=Metric.L2, limit=10)
        shares = []
        for place, hits in zip(places, self.world.engine.search(self.table, request), strict=True):
            nearest = np.argsort(((self.rows - self.rows[place]) ** 2).sum(axis=1))[:10]
            shares.append(len(set(nearest.tolist()) & set(hits.rows["id"].to_pylist())) / 10)
        assert np.mean(shares) >= 0.95
