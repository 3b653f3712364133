"""Searches of the use cases: what the wires' tests, which see answers only, don't show."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from penstock.collections.entity_requests import HybridSearchRequest, VectorSearchRequest
from penstock.collections.search_groups import Grouping
from penstock.collections.search_params import SearchParams
from penstock.domain.collections import Collection
from penstock.engines.values import Table
from penstock.errors import InvalidParameter
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER
from tests.support.tables import import_rows, plain_batch, vectors

ROWS = 20


@pytest.fixture
def docs(cases: UseCases) -> Collection:
    """The dynamic key ``flag`` is ``1`` in even rows, ``true`` in odd ones."""
    docs = cases.create()
    batch = plain_batch(vectors(ROWS))
    texts = [json.dumps({"flag": True if row % 2 else 1}) for row in range(ROWS)]
    batch = batch.set_column(batch.schema.get_field_index("$meta"), batch.schema.field("$meta"), pa.array(texts))
    _, published = import_rows(cases.engine, Table.of(docs), batch)
    cases.catalog.collections.raise_version(docs.id, published.version)
    return cases.collections.get(CLUSTER, "default", docs.name)


def search(filter: str = "", **params: object) -> VectorSearchRequest:
    return VectorSearchRequest(
        queries=vectors(1, seed=1),
        limit=ROWS,
        filter=filter,
        params=SearchParams(**params),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("filters", [("flag == 1", "flag == true"), ("flag in [true]", "flag in [1]")])
def test_a_hybrid_search_has_the_rows_of_each_filter(
    cases: UseCases, docs: Collection, filters: tuple[str, str]
) -> None:
    """Rows are read by the filter that all searches have; for Python 1 and True are equal."""
    request = HybridSearchRequest(searches=[search(each) for each in filters], limit=ROWS, output_fields=["word"])
    result = cases.searches.hybrid_search(docs, request)
    assert np.sort(result.hits[0].rows["id"].to_numpy()).tolist() == list(range(ROWS))


def test_what_a_search_of_a_hybrid_search_repeats_is_no_other_than_the_hybrid_searchs_own(
    cases: UseCases, docs: Collection
) -> None:
    groups = Grouping(field_name="number", size=2)
    own = search(grouping=groups, round_decimal=2, timezone="UTC")
    request = HybridSearchRequest(
        searches=[own, search()],
        limit=2,
        grouping=Grouping(field_name="number", size=2, scorer="sum"),
        round_decimal=2,
    )
    assert len(cases.searches.hybrid_search(docs, request).hits[0].scores) == 4
    for searches, what in (
        ([search(grouping=Grouping(field_name="word"))], "group_by_field, group_size and strict_group_size"),
        ([search(round_decimal=3)], r"round_decimal \[3\] of search 1"),
        ([own, search(timezone="Asia/Tokyo")], r"timezone \[Asia/Tokyo\] of search 2"),
    ):
        with pytest.raises(InvalidParameter, match=what):
            HybridSearchRequest(searches=searches, limit=2, grouping=groups, round_decimal=2).check()
