"""How many exports a collection may have at a time, and which targets they may write into."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from penstock.catalog import Catalog
from penstock.domain.exports import ExportJob, ExportSnapshot, ExportState
from penstock.errors import CollectionNotFound, JobStateConflict, LimitExceeded
from tests.support.catalogs import CLUSTER, SCHEMA, new_export, stored_collection


def failed(catalog: Catalog, export: ExportJob) -> ExportJob:
    """The export, after its run has failed before it was planned."""
    catalog.exports.end(claimed(catalog, export), ExportState.FAILED, reason="no room")
    return catalog.exports.get(CLUSTER, export.id)


def claimed(catalog: Catalog, export: ExportJob) -> ExportJob:
    leased = catalog.exports.claim("worker", 60_000)
    assert leased is not None
    assert leased.id == export.id
    return leased


def planned(catalog: Catalog, export: ExportJob) -> ExportJob:
    """The export, as a run that has planned it and begins to write."""
    return catalog.exports.save_plan(claimed(catalog, export), ExportSnapshot(version=1, schema=SCHEMA), [])


def test_calls_that_come_at_once_never_make_more_exports_than_there_may_be(servers: list[Catalog]) -> None:
    servers[0].clusters.ensure(CLUSTER, "local")
    docs = stored_collection(servers[0])

    def insert(number: int) -> bool:
        try:
            servers[number % 3].exports.insert(new_export(docs), {}, 5)
        except LimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(insert, range(24))) == 5


def test_of_calls_that_come_at_once_one_export_writes_into_a_target(servers: list[Catalog]) -> None:
    servers[0].clusters.ensure(CLUSTER, "local")
    collections = [stored_collection(servers[0], f"docs{number}") for number in range(8)]

    def insert(number: int) -> bool:
        export = replace(new_export(collections[number]), location="file:///out")
        try:
            servers[number % 3].exports.insert(export, {}, 5)
        except JobStateConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(insert, range(8))) == 1


def test_an_id_that_is_taken_is_drawn_anew(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    first = catalog.exports.insert(new_export(docs), {"access_key": "a"}, 5)
    second = catalog.exports.insert(replace(new_export(docs), id=first.id), {"access_key": "b"}, 5)
    assert second.id != first.id
    assert [catalog.exports.secret(export.id)["access_key"] for export in (first, second)] == ["a", "b"]


def test_a_retry_is_one_more_unfinished_export(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    export = failed(catalog, catalog.exports.insert(new_export(docs), {}, 1))
    other = catalog.exports.insert(new_export(docs), {}, 1)
    with pytest.raises(LimitExceeded, match="has 1 unfinished exports; the limit is 1"):
        catalog.exports.retry(export, {}, 1)
    catalog.exports.abort(other, "aborted", has_files=False)
    assert catalog.exports.retry(export, {}, 1).state is ExportState.PENDING


def test_a_retry_does_not_write_into_the_target_of_another(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    export = failed(catalog, catalog.exports.insert(new_export(docs), {}, 5))
    other = replace(new_export(docs), location=export.location, request=export.request)
    catalog.exports.insert(other, {}, 5)
    with pytest.raises(JobStateConflict, match="another export is writing into"):
        catalog.exports.retry(export, {}, 5)


def test_a_target_is_taken_until_the_files_of_an_aborted_export_are_deleted(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    aborted = catalog.exports.insert(new_export(docs), {}, 5)
    catalog.exports.abort(aborted, "aborted", has_files=True)
    next_one = replace(new_export(docs), location=aborted.location)
    with pytest.raises(JobStateConflict, match="or its files there are being deleted"):
        catalog.exports.insert(next_one, {}, 5)
    leased = catalog.exports.claim_deletion("worker", 60_000)
    assert leased is not None
    catalog.exports.deleted_files(leased)
    assert catalog.exports.insert(next_one, {}, 5).state is ExportState.PENDING


@pytest.mark.parametrize("state", [ExportState.COMPLETED, ExportState.FAILED, None])
def test_what_a_later_export_has_written_is_neither_deleted_nor_overwritten_by_a_failed_one(
    catalog: Catalog, state: ExportState | None
) -> None:
    docs = stored_collection(catalog)
    export = failed(catalog, catalog.exports.insert(new_export(docs), {}, 5))
    later = catalog.exports.insert(replace(new_export(docs), location=export.location), {}, 5)
    if state is not None:
        catalog.exports.end(planned(catalog, later), state)
    with pytest.raises(JobStateConflict):
        catalog.exports.retry(export, {}, 5)
    assert not catalog.exports.abort(export, "aborted", has_files=True).has_files
    if state is ExportState.FAILED:
        assert catalog.exports.retry(catalog.exports.get(CLUSTER, later.id), {}, 5).state is ExportState.EXPORTING


def test_a_later_export_that_has_written_nothing_stands_in_no_way(catalog: Catalog) -> None:
    """Such as one into the same bucket by mistake, which fails as the files of the first are there."""
    docs = stored_collection(catalog)
    first = catalog.exports.insert(new_export(docs), {}, 5)
    catalog.exports.end(planned(catalog, first), ExportState.FAILED)
    failed(catalog, catalog.exports.insert(replace(new_export(docs), location=first.location), {}, 5))
    again = catalog.exports.retry(catalog.exports.get(CLUSTER, first.id), {}, 5)
    assert again.state is ExportState.EXPORTING
    assert catalog.exports.abort(again, "aborted", has_files=True).has_files


def test_a_dropped_collection_is_not_exported(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    export = failed(catalog, catalog.exports.insert(new_export(docs), {}, 5))
    catalog.collections.drop(docs.id)
    with pytest.raises(CollectionNotFound):
        catalog.exports.insert(new_export(docs), {}, 5)
    with pytest.raises(CollectionNotFound):
        catalog.exports.retry(export, {}, 5)
