"""Admission of calls, as every wire protocol uses it: caller, cluster, role, and the entry of the audit log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.access.accounts import AccountService
from penstock.access.admission import Admission, CallNames
from penstock.access.audit import AuditedAuthentication, AuditLog
from penstock.access.authentication import Authenticator
from penstock.catalog import Catalog
from penstock.domain.access import Grant, Role
from penstock.domain.audit import AuditEntry
from penstock.errors import ClusterNotFound, CollectionNotFound, PermissionDenied, Unauthenticated

HERE = "192.0.2.7"
ACME, OTHER = "in01-acme", "in01-other"


@pytest.fixture
def admission(catalog: Catalog) -> Admission:
    """Two orgs with one cluster each; the server's own is acme's."""
    for name, cluster_id in (("acme", ACME), ("other", OTHER)):
        catalog.clusters.create(cluster_id, "local", name, catalog.orgs.ensure(name).id)
    audit = AuditLog(catalog.audit)
    return Admission(
        authentication=AuditedAuthentication(Authenticator(catalog.accounts), audit),
        clusters=catalog.clusters,
        audit=audit,
        cluster_id=ACME,
    )


def key_of(catalog: Catalog, org: str, *grants: Grant) -> str:
    return AccountService(catalog).create_key(catalog.orgs.ensure(org).id, f"{org}-key", grants).secret


def entries(catalog: Catalog) -> list[AuditEntry]:
    return [replace(entry, at=None, caller_id=None, org_id=None) for entry in catalog.audit.read()]


def entry_of(action: str, **details: Any) -> AuditEntry:
    return AuditEntry(caller="acme-key", action=action, address=HERE, cluster_id=ACME, **details)


def test_a_change_is_admitted_and_recorded_with_its_names(admission: Admission, catalog: Catalog) -> None:
    key = key_of(catalog, "acme", Grant(role=Role.WRITER))
    with admission.call("partition.create", authorization=key, address=HERE) as call:
        call.names = CallNames(collection="docs", subjects=["p1"])
        assert call.enter(None).id == ACME
        call.authorize(Role.WRITER, "default")
        assert call.caller.name == "acme-key"
    assert entries(catalog) == [
        entry_of("partition.create", database="default", collection="docs", subject="p1"),
    ]


def test_a_read_is_recorded_only_if_it_is_denied(admission: Admission, catalog: Catalog) -> None:
    key = key_of(catalog, "acme", Grant(role=Role.READER, cluster_id=ACME, database="sales"))
    with admission.call("collection.get_stats", authorization=key, address=HERE) as call:
        call.enter(ACME)
        call.authorize(Role.READER, "sales")
    with pytest.raises(CollectionNotFound), admission.call("entity.query", authorization=key, address=HERE) as call:
        raise CollectionNotFound("no such collection")
    with pytest.raises(CollectionNotFound), admission.call("import.errors", authorization=key, address=HERE) as call:
        raise CollectionNotFound("no such collection")
    assert entries(catalog) == []
    with pytest.raises(PermissionDenied), admission.call("entity.query", authorization=key, address=HERE) as call:
        call.enter(ACME)
        call.authorize(Role.READER, "default")
    (denied,) = entries(catalog)
    assert (denied.action, denied.database, denied.outcome) == ("entity.query", "default", "permission_denied")


def test_a_failed_change_is_recorded_with_its_reason(admission: Admission, catalog: Catalog) -> None:
    key = key_of(catalog, "acme", Grant(role=Role.ADMIN))
    with (
        pytest.raises(CollectionNotFound),
        admission.call("collection.drop", authorization=key, address=HERE) as call,
    ):
        call.names = CallNames(collection="x" * 1000)
        call.enter(None)
        raise CollectionNotFound("no such collection")
    assert entries(catalog) == [
        entry_of("collection.drop", collection="x" * 256, outcome="collection_not_found", reason="no such collection")
    ]


def test_clusters_of_other_orgs_are_not_revealed(admission: Admission, catalog: Catalog) -> None:
    key = key_of(catalog, "acme", Grant(role=Role.ADMIN))
    messages = set()
    for cluster_id in (OTHER, "in01-nowhere"):
        with (
            pytest.raises(ClusterNotFound) as caught,
            admission.call("x.list", authorization=key, address=HERE) as call,
        ):
            call.enter(cluster_id)
        messages.add(str(caught.value).replace(cluster_id, "…"))
    assert messages == {"cluster … does not exist"}
    assert [entry.outcome for entry in entries(catalog)] == ["cluster_not_found"]


def test_a_call_without_a_cluster_goes_to_the_only_one_of_its_grants(admission: Admission, catalog: Catalog) -> None:
    key = key_of(catalog, "other", Grant(role=Role.READER, cluster_id=OTHER))
    with admission.call("collection.list", authorization=key, address=HERE) as call:
        assert call.enter(None).id == OTHER


def test_an_unknown_caller_never_enters_the_context(admission: Admission, catalog: Catalog) -> None:
    key_of(catalog, "acme", Grant(role=Role.ADMIN))
    with (
        pytest.raises(Unauthenticated),
        admission.call("collection.drop", authorization="Bearer nonsense", address=HERE),
    ):
        pytest.fail("the context has begun")
    assert [(entry.action, entry.outcome) for entry in entries(catalog)] == [("login", "unauthenticated")]
