"""Clusters go only when nothing is left in them, and then with all they had."""

from __future__ import annotations

import pytest

from penstock.catalog import Catalog
from penstock.catalog.access.accounts import AccountKind, NewAccount
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.catalog.db import tables
from penstock.domain.access import Grant, Role
from penstock.domain.exports import ExportPart, ExportSnapshot, ExportState
from penstock.domain.jobs import JobState
from penstock.errors import ClusterExists, ClusterNotEmpty, ClusterNotFound
from tests.support.catalogs import CLUSTER, input_file, new_export, new_job, new_split, stored_collection

OTHER = "in01-other"


def cluster_ids(catalog: Catalog) -> list[str]:
    return [each.id for each in catalog.clusters.list()]


def test_a_cluster_belongs_to_an_org_and_has_a_default_database(catalog: Catalog) -> None:
    acme = catalog.orgs.ensure("acme")
    made = catalog.clusters.create(OTHER, "local", "Acme's", acme.id)
    assert catalog.clusters.of_org(acme.id, OTHER) == made
    assert catalog.databases.get(OTHER, "default").name == "default"
    with pytest.raises(ClusterNotFound):
        catalog.clusters.of_org(DEFAULT_ORG, OTHER)
    with pytest.raises(ClusterExists):
        catalog.clusters.create(OTHER, "local", "again", DEFAULT_ORG)


def test_a_dropped_cluster_leaves_no_jobs_and_no_grants(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.jobs.insert(new_job(docs, token="t"))
    job = catalog.leases.claim("worker", 60_000)
    assert job is not None
    job = catalog.leases.save_plan(
        catalog.leases.move(job, JobState.PLANNING),
        [input_file()],
        [new_split()],
    )
    with pytest.raises(ClusterNotEmpty, match="has 1 collections"):
        catalog.clusters.drop(CLUSTER)
    catalog.collections.drop(docs.id)
    with pytest.raises(ClusterNotEmpty, match="still exist"):
        catalog.clusters.drop(CLUSTER)
    catalog.leases.move(job, JobState.FAILED, reason="its collection was dropped")
    catalog.collections.forget(docs.id)
    grants = [Grant(role=Role.READER, cluster_id=CLUSTER), Grant(role=Role.WRITER, cluster_id=OTHER)]
    catalog.accounts.create(NewAccount(org_id=DEFAULT_ORG, kind=AccountKind.KEY, name="k", hash="h", grants=grants))

    catalog.clusters.drop(CLUSTER)

    assert cluster_ids(catalog) == []
    [key] = catalog.accounts.list(AccountKind.KEY)
    assert [grant.cluster_id for grant in key.grants] == [OTHER]
    with catalog.database.read() as connection:
        left = {
            table.name: rows
            for table in tables.metadata.sorted_tables
            if (rows := connection.execute(table.select()).all())
            and table.name not in ("org", "org_usage", "account", "account_grant", "read_cache_version")
        }
    assert left == {}


def test_a_dropped_cluster_leaves_no_exports_and_no_reports(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.jobs.insert(new_job(docs))
    job = catalog.leases.claim("worker", 60_000)
    assert job is not None
    catalog.leases.save_report(job, {"rows": 7})
    catalog.leases.move(job, JobState.FAILED, reason="its collection was dropped")
    catalog.exports.insert(new_export(docs), {"access_key": "a"}, 16)
    catalog.collections.drop(docs.id)
    catalog.collections.forget(docs.id)
    with pytest.raises(ClusterNotEmpty, match="jobs or exports, still"):
        catalog.clusters.drop(CLUSTER)
    export = catalog.exports.claim("worker", 60_000)
    assert export is not None
    part = ExportPart(ordinal=0, fragments=(0,), rows=1, size=1)
    export = catalog.exports.save_plan(export, ExportSnapshot(version=1, schema=docs.schema), [part])
    catalog.exports.end(export, ExportState.FAILED, reason="its collection was dropped")

    catalog.clusters.drop(CLUSTER)

    with catalog.database.read() as connection:
        for table in (tables.export, tables.export_part, tables.job_report, tables.job_secret):
            assert connection.execute(table.select()).all() == [], table.name


def test_a_cluster_that_is_not_there(catalog: Catalog) -> None:
    with pytest.raises(ClusterNotFound, match=OTHER):
        catalog.clusters.drop(OTHER)


@pytest.mark.timeout(60)
def test_what_comes_just_after_a_cluster_was_dropped_is_told_so(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.collections.drop(docs.id)
    catalog.collections.forget(docs.id)
    catalog.clusters.drop(CLUSTER)
    with pytest.raises(ClusterNotFound, match=CLUSTER):
        catalog.jobs.insert(new_job(docs))
    with pytest.raises(ClusterNotFound, match=CLUSTER):
        catalog.databases.create(CLUSTER, "other", {})
