"""A create call that is repeated under one key makes one job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from penstock.catalog import Catalog
from penstock.catalog.jobs.idempotency import IdempotencyRecord
from penstock.catalog.jobs.jobs import NewJob
from penstock.domain.ids import new_id
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import CatalogError, InvalidParameter
from tests.support.catalogs import CLUSTER, new_job, opened_catalog, stored_collection

KEY = Fernet.generate_key()
DAY = 24 * 3600 * 1000


def call(catalog: Catalog, key: str = "night 1", what: str = "a", lifetime: int = DAY) -> NewJob:
    database = catalog.databases.get(CLUSTER, "default")
    collection = catalog.collections.find(database, "docs") or stored_collection(catalog)
    repeated = IdempotencyRecord(key=key, fingerprint=catalog.jobs.fingerprint(what.encode()), lifetime=lifetime)
    return replace(new_job(collection), repeated=repeated)


def test_the_same_call_gets_the_same_job_and_another_key_another(catalog: Catalog) -> None:
    first = catalog.jobs.insert(call(catalog))
    assert catalog.jobs.insert(call(catalog)).id == first.id
    assert catalog.jobs.insert(call(catalog, key="night 2")).id != first.id
    assert catalog.jobs.count_by_state(CLUSTER) == {JobState.PENDING: 2}


def test_another_request_under_the_same_key_is_refused_and_names_the_job(catalog: Catalog) -> None:
    first = catalog.jobs.insert(call(catalog))
    with pytest.raises(InvalidParameter, match=f"'night 1' belongs to job {first.id}"):
        catalog.jobs.insert(call(catalog, what="b"))
    assert catalog.jobs.count_by_state(CLUSTER) == {JobState.PENDING: 1}


def test_a_key_is_remembered_over_a_restart_and_for_its_time_only(tmp_path: Path) -> None:
    key = Fernet.generate_key()
    with opened_catalog(tmp_path, key) as catalog:
        first = catalog.jobs.insert(call(catalog))
        old = catalog.jobs.insert(call(catalog, key="old", lifetime=-1))
    with opened_catalog(tmp_path, key) as catalog:
        assert catalog.jobs.insert(call(catalog)).id == first.id
        assert catalog.jobs.insert(call(catalog, key="old", what="another")).id != old.id
        catalog.jobs.insert(call(catalog, key="gone", lifetime=-1))
        assert catalog.jobs.forget_expired_keys() == 1


def test_calls_at_the_same_time_make_one_job(catalog: Catalog) -> None:
    new = call(catalog)
    with ThreadPoolExecutor(8) as threads:
        made = {job.id for job in threads.map(lambda _: catalog.jobs.insert(new), range(40))}
    assert len(made) == 1
    assert catalog.jobs.count_by_state(CLUSTER) == {JobState.PENDING: 1}


def test_a_call_that_waited_for_another_gets_its_job_even_if_the_key_ended_meanwhile(migrated_url: str) -> None:
    """As it may by the clock of another server."""
    with opened_catalog(migrated_url, KEY) as one, opened_catalog(migrated_url, KEY) as other:
        new = call(one, lifetime=-1)
        with ThreadPoolExecutor(1) as thread:
            with one.database.write() as connection:
                first = one.jobs._insert_once(connection, new_id(), new)
                second = thread.submit(other.jobs.insert, new)
                waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                while not connection.execute(waiting).scalar_one():
                    assert not second.done()
            assert isinstance(first, ImportJob)
            assert second.result().id == first.id


def test_servers_with_different_keys_say_so(catalog_url: str) -> None:
    with opened_catalog(catalog_url) as one, opened_catalog(catalog_url) as other:
        made = one.jobs.insert(call(one))
        with pytest.raises(
            CatalogError, match=rf"job {made.id} was created .* by a server with another encryption key"
        ):
            other.jobs.insert(call(other))


def test_the_fingerprint_depends_on_the_key(tmp_path: Path) -> None:
    with opened_catalog(tmp_path, Fernet.generate_key()) as one:
        mine = one.jobs.fingerprint(b"a")
    with opened_catalog(tmp_path, Fernet.generate_key()) as other:
        assert other.jobs.fingerprint(b"a") != mine
