"""Callers of gRPC are admitted as those of HTTP: keys, passwords, roles, the audit log, limits of wrong passwords."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from penstock.access.login_limits import PER_USER_LIMIT
from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db.encryption import load_key
from penstock.domain.access import Grant, Role
from penstock.domain.audit import AuditEntry
from penstock.server.assembly import build_services
from tests.support.grpc import call, grpc_port
from tests.support.http import make_settings

HOME = "127.0.0.1"
ORG = "org-default"


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A server that asks for keys, and those of an admin and of a reader of the database ``sales``."""

    address: str
    channel: grpc.Channel
    catalog: Catalog
    admin: str
    reader: str

    def entries(self, action: str) -> list[AuditEntry]:
        return [entry for entry in self.catalog.audit.read() if entry.action == action]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    services = build_services(make_settings(tmp_path, auth="on"))
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db", load_key(tmp_path / "secret.key"))
    services.databases.create("in01-local", "sales", {})
    admin = services.accounts.create_key(ORG, "ann", [Grant(role=Role.ADMIN)]).secret
    grant = Grant(role=Role.READER, cluster_id="in01-local", database="sales")
    services.accounts.create_user(ORG, "clerk", "correct horse", [grant])
    try:
        with grpc_port(services) as address, grpc.insecure_channel(address) as channel:
            yield Guarded(
                address=address, channel=channel, catalog=catalog, admin=admin, reader="clerk:correct horse"
            )
    finally:
        catalog.close()
        services.stop()


def status_code(error: pytest.ExceptionInfo[grpc.RpcError]) -> grpc.StatusCode:
    assert isinstance(error.value, grpc.Call)
    return error.value.code()


def test_a_key_and_a_password_let_in(guarded: Guarded) -> None:
    assert call(guarded.channel, "Connect", secret=guarded.admin).identifier
    assert call(guarded.channel, "Connect", secret=guarded.reader).identifier


def test_connecting_to_a_database_that_is_missing_or_anothers_says_that_there_is_none(guarded: Guarded) -> None:
    def connect(secret: str, database: str) -> tuple[int, str]:
        status = call(guarded.channel, "Connect", secret=secret, metadata={"dbname": database}).status
        return status.code, status.reason

    assert connect(guarded.reader, "sales") == connect(guarded.reader, "default") == (0, "")
    assert connect(guarded.admin, "nope") == (800, "database not found[database=nope]")
    call(guarded.channel, "CreateDatabase", secret=guarded.admin, db_name="hidden")
    assert connect(guarded.admin, "hidden") == (0, "")
    assert connect(guarded.reader, "hidden") == (800, "database not found[database=hidden]")


def test_a_caller_sees_and_does_what_its_role_allows(guarded: Guarded) -> None:
    assert call(guarded.channel, "ListDatabases", secret=guarded.reader).db_names == ["sales"]
    assert (
        call(guarded.channel, "ShowCollections", secret=guarded.reader, metadata={"dbname": "sales"}).status.code == 0
    )
    refused: list[tuple[str, dict[str, Any]]] = [
        ("ShowCollections", {}),
        ("CreateDatabase", {"db_name": "mine"}),
        ("DropCollection", {"metadata": {"dbname": "sales"}, "collection_name": "docs"}),
    ]
    for method, fields in refused:
        with pytest.raises(grpc.RpcError) as error:
            call(guarded.channel, method, secret=guarded.reader, **fields)
        assert status_code(error) is grpc.StatusCode.PERMISSION_DENIED


def test_the_database_of_the_request_counts_before_that_of_the_metadata(guarded: Guarded) -> None:
    answer = call(
        guarded.channel, "DescribeDatabase", secret=guarded.admin, db_name="sales", metadata={"dbname": "default"}
    )
    assert answer.db_name == "sales"


def test_changes_and_refusals_are_in_the_audit_log_with_the_callers_address(guarded: Guarded) -> None:
    call(guarded.channel, "CreateDatabase", secret=guarded.admin, db_name="more")
    (entry,) = guarded.entries("database.create")
    assert (entry.caller, entry.org_id, entry.address, entry.database, entry.outcome) == (
        "ann",
        ORG,
        HOME,
        "more",
        "ok",
    )

    call(guarded.channel, "DropPartition", secret=guarded.admin, collection_name="docs", partition_name="p")
    (entry,) = guarded.entries("partition.drop")
    assert (entry.collection, entry.subject, entry.outcome) == ("docs", "p", "collection_not_found")

    with pytest.raises(grpc.RpcError):
        call(guarded.channel, "DropDatabase", secret=guarded.reader, db_name="sales")
    (entry,) = guarded.entries("database.drop")
    assert (entry.caller, entry.address, entry.outcome) == ("clerk", HOME, "permission_denied")

    with pytest.raises(grpc.RpcError):
        call(guarded.channel, "ListDatabases", secret="clerk:wrong")
    (entry,) = guarded.entries("login")
    assert (entry.caller, entry.address, entry.outcome) == ("clerk", HOME, "unauthenticated")


def test_reads_are_not_in_the_audit_log(guarded: Guarded) -> None:
    for method in ("Connect", "GetVersion", "CheckHealth", "AllocTimestamp", "ListDatabases", "Insert"):
        call(guarded.channel, method, secret=guarded.admin)
    assert [entry.action for entry in guarded.catalog.audit.read() if entry.address == HOME] == []


def test_wrong_passwords_by_grpc_and_http_count_together(guarded: Guarded) -> None:
    for _ in range(PER_USER_LIMIT):
        with pytest.raises(grpc.RpcError) as error:
            call(guarded.channel, "Connect", secret="clerk:wrong")
        assert status_code(error) is grpc.StatusCode.UNAUTHENTICATED
    answer = httpx.post(
        f"http://{guarded.address}/v2/vectordb/databases/list",
        json={},
        headers={"authorization": "Bearer clerk:wrong again"},
    )
    assert answer.status_code == 429


def test_a_reason_of_ill_health_is_not_shown_where_keys_are_asked_for(guarded: Guarded) -> None:
    answer = call(guarded.channel, "CheckHealth", secret=guarded.admin)
    assert (answer.isHealthy, list(answer.reasons)) == (True, [])
