"""Renaming in the catalog: what hangs on a collection follows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.catalog import Catalog
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.jobs import JobState
from penstock.errors import CollectionNotFound, InvalidParameter
from tests.support.catalogs import CLUSTER, new_export, new_job, stored_collection


def total(catalog: Catalog, database_id: int, created_after: int | None = None) -> int:
    return catalog.job_list.total(JobFilter(cluster_id=CLUSTER, database_id=database_id, created_after=created_after))


def test_a_collection_has_its_new_name_and_the_old_one_is_free(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    default = catalog.databases.get(CLUSTER, "default")
    catalog.aliases.create(docs, "current")
    catalog.collections.rename(docs, default, "texts")
    renamed = catalog.collections.get(default, "current")
    assert (renamed.id, renamed.name) == (docs.id, "texts")
    assert renamed.updated_at > docs.updated_at
    assert stored_collection(catalog).id != docs.id
    with pytest.raises(CollectionNotFound):
        catalog.collections.rename(docs, default, "other")  # it no longer is docs


def test_running_and_ended_jobs_follow_into_another_database(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.jobs.insert(new_job(docs))
    running = catalog.leases.claim("worker", 60_000)
    assert running is not None
    ended = catalog.jobs.insert(new_job(docs))
    ended = catalog.jobs.request_transition(ended, JobState.ABORTED)
    sales = catalog.databases.create(CLUSTER, "sales", {})
    catalog.collections.rename(docs, sales, "deals")

    planning = catalog.leases.move(running, JobState.PLANNING)
    assert (planning.database, planning.database_id, planning.collection) == ("sales", sales.id, "deals")
    late = catalog.jobs.insert(new_job(docs))  # whose call read the collection before it was renamed
    assert (late.database, late.collection) == ("sales", "deals")
    page = catalog.job_list.page(JobFilter(cluster_id=CLUSTER, database_id=sales.id), limit=10)
    assert [job.id for job in page] == [late.id, ended.id, running.id]
    assert (total(catalog, sales.id), total(catalog, docs.database_id)) == (3, 0)
    assert total(catalog, sales.id, created_after=0) == 3
    catalog.leases.move(planning, JobState.FAILED)
    assert total(catalog, sales.id, created_after=0) == 3
    assert catalog.jobs.live_jobs(docs.id) == 1


def test_exports_follow_into_another_database(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    export = catalog.exports.insert(new_export(docs), {}, 16)
    sales = catalog.databases.create(CLUSTER, "sales", {})
    catalog.collections.rename(docs, sales, "deals")
    late = catalog.exports.insert(new_export(docs), {}, 16)  # whose call read the collection before it was renamed
    exports = catalog.exports.list(sales.id, docs.id)
    assert [(each.id, each.database, each.collection) for each in exports] == [
        (late.id, "sales", "deals"),
        (export.id, "sales", "deals"),
    ]
    assert catalog.exports.list(docs.database_id) == []


def test_taken_names_are_refused(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    notes = stored_collection(catalog, "notes")
    default = catalog.databases.get(CLUSTER, "default")
    catalog.aliases.create(notes, "current")
    for name in ("notes", "current"):
        with pytest.raises(InvalidParameter, match=f"duplicated new collection name default:{name} with other"):
            catalog.collections.rename(docs, default, name)
    catalog.collections.rename(docs, catalog.databases.create(CLUSTER, "sales", {}), "notes")


def test_aliases_keep_a_collection_in_its_database(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.aliases.create(docs, "current")
    sales = catalog.databases.create(CLUSTER, "sales", {})
    with pytest.raises(InvalidParameter, match="must drop all aliases of this collection before rename"):
        catalog.collections.rename(docs, sales, "docs")


def test_counters_hold_while_jobs_change_states_and_collections_databases(servers: list[Catalog]) -> None:
    mover, *workers = servers
    mover.clusters.ensure(CLUSTER, "local")
    docs = stored_collection(mover)
    homes = [mover.databases.get(CLUSTER, "default"), mover.databases.create(CLUSTER, "sales", {})]

    def work(catalog: Catalog) -> None:
        for _ in range(10):
            job = catalog.jobs.insert(new_job(docs))
            catalog.jobs.request_transition(job, JobState.ABORTED)

    def move() -> None:
        for number in range(1, 11):
            current = mover.collections.by_id(docs.id)
            assert current is not None
            mover.collections.rename(current, homes[number % 2], "docs")

    with ThreadPoolExecutor(3) as pool:
        for future in [*(pool.submit(work, catalog) for catalog in workers), pool.submit(move)]:
            future.result()
    assert [total(mover, home.id) for home in homes] == [20, 0]
    assert [total(mover, home.id, created_after=0) for home in homes] == [20, 0]
