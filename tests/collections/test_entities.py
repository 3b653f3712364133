"""Reading rows: what is refused before an engine is asked, and what an answer holds."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from penstock.collections import entities
from penstock.collections.entities import OutputFields
from penstock.collections.entity_requests import GetRequest, QueryRequest, VectorSearchRequest
from penstock.collections.search_params import SearchParams
from penstock.domain.schema import META_FIELD
from penstock.engines.values import Table
from penstock.errors import CollectionNotLoaded, FieldNotFound, InvalidFilter, InvalidParameter, Unsupported
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER
from tests.support.tables import import_rows, plain_batch, vectors


def test_query_get_count(cases: UseCases) -> None:
    docs = cases.put(cases.create(), rows=20)
    found = cases.entities.query(docs, QueryRequest(filter="number > 6", output_fields=["word"], limit=3))
    assert found.table.column_names == ["id", "word"]
    assert found.table["id"].to_pylist() == [7, 8, 9]
    assert cases.entities.get(docs, GetRequest(keys=[5, 3, 5, 99], output_fields=[])).table["id"].to_pylist() == [
        3,
        5,
    ]
    assert cases.entities.count(docs, QueryRequest(filter="number > 6")) == 6
    with pytest.raises(InvalidFilter):
        cases.entities.count(docs, QueryRequest(filter="number >"))


def test_an_answer_must_fit_into_memory(cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = cases.put(cases.create(), rows=20)
    monkeypatch.setattr(entities, "MAX_ANSWER_BYTES", 2000)
    assert len(cases.entities.query(docs, QueryRequest(filter="id >= 0", output_fields=["id"])).table) == 20
    with pytest.raises(InvalidParameter, match="20 rows would take"):
        cases.entities.query(docs, QueryRequest(filter="id >= 0", output_fields=["vector"]))
    with pytest.raises(InvalidParameter, match="Use limit and offset"):
        cases.entities.get(docs, GetRequest(keys=range(100), output_fields=["vector"]))
    with pytest.raises(InvalidParameter, match="20 rows would take"):
        cases.entities.query(docs, QueryRequest(output_fields=["vector"], limit=1000))
    assert len(cases.entities.query(docs, QueryRequest(output_fields=["vector"], limit=10)).table) == 10
    few = cases.entities.query(docs, QueryRequest(filter="id > 17", output_fields=["vector"], limit=1000))
    assert len(few.table) == 2, "a limit counts only as far as there are rows"
    all_of_them = VectorSearchRequest(queries=vectors(20), limit=20)
    with pytest.raises(InvalidParameter, match="400 rows would take"):
        cases.searches.search(docs, all_of_them)
    assert len(cases.searches.search(docs, replace(all_of_them, limit=1)).hits) == 20


def test_texts_count_as_long_as_they_are(cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = cases.create()
    batch = plain_batch(vectors(20))
    place = batch.schema.get_field_index("word")
    batch = batch.set_column(place, "word", pa.array(["x" * 60_000] * 20))
    _, published = import_rows(cases.engine, Table.of(docs), batch)
    docs = replace(docs, version=published.version)
    query = QueryRequest(filter="id >= 0", output_fields=["word"])
    search = VectorSearchRequest(queries=vectors(1), limit=20, output_fields=["word"])
    results = (cases.entities.query(docs, query, org_id="acme"), cases.searches.search(docs, search, org_id="acme"))
    for result in results:
        assert result.held is not None
        assert result.held.size > 20 * 60_000
        result.held.release()

    monkeypatch.setattr(entities, "MAX_ANSWER_BYTES", 1 << 20)
    with pytest.raises(InvalidParameter, match="20 rows would take about 1 MiB, more than the 1 MiB of one result"):
        cases.entities.query(docs, query)
    with pytest.raises(InvalidParameter, match="20 rows would take"):
        cases.searches.search(docs, search)
    assert len(cases.entities.query(docs, replace(query, limit=10)).table) == 10


def test_columns_that_an_answer_needs(cases: UseCases) -> None:
    docs = cases.create()

    def asked(*names: str) -> OutputFields:
        return cases.entities.output_fields(docs, names)

    assert asked() == OutputFields(columns=("id",))
    assert asked("word", "id") == OutputFields(columns=("id", "word"))
    assert asked("*") == OutputFields(columns=("id", "vector", "number", "word"), meta_keys=None)
    assert asked("tag", "word") == OutputFields(columns=("id", "word"), meta_keys=("tag",))
    assert asked("tag").with_dynamic == ("id", META_FIELD)
    assert asked("word").with_dynamic == ("id", "word")
    with pytest.raises(InvalidParameter, match="subkeys"):
        asked('word["a"]')
    with pytest.raises(Unsupported):
        asked("max(number)")


def test_search(cases: UseCases) -> None:
    docs = cases.put(cases.create(), rows=20)
    query = VectorSearchRequest(queries=vectors(20)[[7]], limit=1, output_fields=["word"])
    found = cases.searches.search(docs, query)
    fields, (hits,) = found.fields, found.hits
    assert fields.columns == ("id", "word")
    assert hits.rows["id"].to_pylist() == [7]
    with pytest.raises(FieldNotFound):
        cases.searches.search(docs, VectorSearchRequest(field_name="word", queries=vectors(1), limit=1))
    with pytest.raises(InvalidParameter, match="must be more than radius"):
        cases.searches.search(
            docs, VectorSearchRequest(queries=vectors(1), limit=1, params=SearchParams(radius=0.9, range_filter=0.1))
        )


def test_a_released_collection_is_not_read(cases: UseCases) -> None:
    docs = cases.create()
    cases.collections.release(CLUSTER, "default", "docs")
    docs = cases.collections.get(CLUSTER, "default", "docs")
    for call in (
        lambda: cases.entities.query(docs, QueryRequest(limit=1)),
        lambda: cases.entities.get(docs, GetRequest(keys=[1])),
        lambda: cases.entities.count(docs, QueryRequest()),
        lambda: cases.searches.search(docs, VectorSearchRequest(queries=vectors(1), limit=1)),
    ):
        with pytest.raises(CollectionNotLoaded):
            call()
