"""One lease per collection, and no wish for maintenance is forgotten."""

from __future__ import annotations

from penstock.catalog import Catalog
from tests.support.catalogs import stored_collection

LEASE = 60_000


def test_a_collection_is_maintained_by_one_at_a_time(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    held = catalog.maintenance.take(docs.id, "one", LEASE)
    assert held is not None
    assert catalog.maintenance.take(docs.id, "other", LEASE) is None
    catalog.maintenance.done(held)
    assert catalog.maintenance.take(docs.id, "other", LEASE) is not None


def test_a_lease_that_ran_out_is_another_s_and_its_holder_is_told(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    stalled = catalog.maintenance.take(docs.id, "one", -1)
    assert stalled is not None
    assert catalog.maintenance.take(docs.id, "other", LEASE) is not None
    assert not catalog.maintenance.renew(stalled, LEASE)
    catalog.maintenance.done(stalled)
    assert catalog.maintenance.take(docs.id, "third", LEASE) is None


def test_what_is_due_longest_comes_first_and_once(catalog: Catalog) -> None:
    first, second = (stored_collection(catalog, name) for name in ("docs", "images"))
    for each in (first, second):
        catalog.maintenance.request(each.id)
    one, other = (catalog.maintenance.acquire_due(name, LEASE) for name in ("one", "other"))
    assert one is not None
    assert other is not None
    assert {one.collection_id, other.collection_id} == {first.id, second.id}
    assert catalog.maintenance.acquire_due("third", LEASE) is None
    catalog.maintenance.done(one)
    assert catalog.maintenance.acquire_due("third", LEASE) is None


def test_what_is_asked_while_somebody_is_at_it_is_done_again(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.maintenance.request(docs.id)
    held = catalog.maintenance.acquire_due("one", LEASE)
    assert held is not None
    catalog.maintenance.request(docs.id)
    catalog.maintenance.done(held)
    again = catalog.maintenance.acquire_due("one", LEASE)
    assert again is not None
    catalog.maintenance.done(again)
    assert catalog.maintenance.acquire_due("one", LEASE) is None


def test_what_failed_waits_a_while(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.maintenance.request(docs.id)
    held = catalog.maintenance.acquire_due("one", LEASE)
    assert held is not None
    catalog.maintenance.release(held, 60_000)
    assert catalog.maintenance.acquire_due("one", LEASE) is None
    catalog.maintenance.request(docs.id)
    assert catalog.maintenance.acquire_due("one", LEASE) is not None


def test_a_dropped_collection_is_never_due(catalog: Catalog) -> None:
    kept, dropped = (stored_collection(catalog, name) for name in ("docs", "images"))
    catalog.collections.drop(dropped.id)
    catalog.maintenance.request_all()
    due = catalog.maintenance.acquire_due("one", LEASE)
    assert due is not None
    assert due.collection_id == kept.id
    assert catalog.maintenance.acquire_due("two", LEASE) is None
    catalog.maintenance.request(dropped.id)
    catalog.collections.forget(dropped.id)
    assert catalog.maintenance.acquire_due("two", LEASE) is None
