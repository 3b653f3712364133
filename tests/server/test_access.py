"""Two tenants on one server: each sees its own, and is told nothing of the other."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.access.accounts import AccountService
from penstock.catalog import open_catalog
from penstock.catalog.access.accounts import AccountKind
from penstock.catalog.db.encryption import load_key
from penstock.domain.access import Grant, Role
from penstock.errors import InvalidParameter
from penstock.server.assembly import build_services
from tests.support.http import make_settings
from tests.support.tenants import ACME, LOCAL, Callers, two_tenants
from tests.support.wire import V1, V2


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("access")) as callers:
        yield callers


def create(callers: Callers, who: str, **body: Any) -> tuple[int, int, Any]:
    return callers.post(who, f"{V2}/create", collectionName="docs", files=[["a.jsonl"]], **body)


def test_nobody_comes_in_without_credentials(callers: Callers) -> None:
    for who in ("", "nobody", "nonsense"):
        assert create(callers, who)[:2] == (401, 1800)
        assert create(callers, who, clusterId=LOCAL)[:2] == (200, 21119)
        assert callers.post(who, "/v2/vectordb/collections/list")[:2] == (401, 1800)
    assert callers.get("nobody", f"{V1}/list", clusterId=LOCAL)[:2] == (200, 80002)
    assert callers.get("nonsense", f"{V1}/list", clusterId=LOCAL) == (200, 80001, "The token is illegal")
    assert callers.client.get("/healthz").status_code == 200


def test_a_key_that_names_one_cluster_works_there(callers: Callers) -> None:
    assert callers.post("acme", "/v2/vectordb/collections/list") == (200, 0, ["docs"])
    status, code, data = create(callers, "acme")
    assert (status, code) == (200, 0)
    listed = callers.post("acme", f"{V2}/list", clusterId=ACME, pageSize=10, currentPage=1)[2]
    assert [each["jobId"] for each in listed["records"]] == [data["jobId"]]
    assert callers.post("acme", f"{V2}/describe", jobId=data["jobId"])[:2] == (200, 0)


def test_of_another_org_nothing_is_told(callers: Callers) -> None:
    job = create(callers, "acme")[2]["jobId"]
    unknown = callers.get("ops", f"{V1}/list", clusterId="in01-nowhere")
    assert unknown[:2] == (200, 80020)
    assert callers.get("ops", f"{V1}/list", clusterId=ACME) == unknown
    assert callers.get("ops", f"{V1}/list", clusterId="malformed") == unknown
    assert callers.post("ops", f"{V2}/list", clusterId=ACME)[:2] == (200, 96018)
    assert callers.post("ops", f"{V2}/describe", jobId=job)[1] == 2101
    assert callers.post("ops", f"{V2}/abort", jobId=job)[1] == 2101
    assert callers.post("ops", "/v2/vectordb/collections/list", clusterId=ACME)[1] == 96018


def test_a_reader_of_one_database_sees_that_one(callers: Callers) -> None:
    own = create(callers, "acme", dbName="sales")[2]["jobId"]
    other = create(callers, "acme")[2]["jobId"]
    page = callers.post("clerk", f"{V2}/list", clusterId=ACME, pageSize=100, currentPage=1)[2]
    assert own in [each["jobId"] for each in page["records"]]
    assert other not in [each["jobId"] for each in page["records"]]
    assert page["count"] == len(page["records"])
    assert callers.post("clerk", f"{V2}/list", clusterId=ACME, state="Pending")[1] == 0
    assert own in str(callers.post("clerk", f"{V2}/list")[2])
    assert other not in str(callers.post("clerk", f"{V2}/list")[2])
    assert callers.post("clerk", f"{V2}/describe", jobId=own)[1] == 0
    assert callers.post("clerk", f"{V2}/describe", jobId=other)[1] == 2101
    assert callers.post("clerk", f"{V2}/list", dbName="default")[:2] == (403, 65535)
    assert callers.post("clerk", "/v2/vectordb/databases/list") == (200, 0, ["sales"])


def test_a_reader_changes_nothing(callers: Callers) -> None:
    job = create(callers, "acme", dbName="sales")[2]["jobId"]
    status, code, message = create(callers, "clerk", dbName="sales")
    assert (status, code) == (403, 65535)
    assert "clerk needs the role writer in the database sales" in message
    assert create(callers, "clerk", dbName="sales", clusterId=ACME)[:2] == (200, 96012)
    for action in ("abort", "commit", "retry"):
        assert callers.post("clerk", f"{V2}/{action}", jobId=job)[:2] == (403, 65535)
    for path in ("collections/drop", "collections/create", "partitions/create", "indexes/drop"):
        assert callers.post("clerk", f"/v2/vectordb/{path}", dbName="sales", collectionName="docs")[0] == 403
    assert callers.post("clerk", "/v2/vectordb/collections/has", dbName="sales", collectionName="docs")[1] == 0


def test_only_admins_make_databases(callers: Callers) -> None:
    assert callers.post("acme", "/v2/vectordb/databases/create", dbName="more")[:2] == (403, 65535)
    assert callers.post("ops", "/v2/vectordb/databases/create", dbName="more")[:2] == (200, 0)


def test_clusters_as_v1_tells_of_them(callers: Callers) -> None:
    assert callers.get("owner", f"{V1}/list", clusterId="in01-abroad")[1] == 90102
    assert callers.get("acme", f"{V1}/list", clusterId="in01-abroad")[1] == 40022
    assert callers.post("acme", f"{V2}/list", clusterId="in01-abroad")[:2] == (200, 96012), "not an empty list"
    body = {"clusterId": ACME, "collectionName": "docs", "objectUrl": "a.jsonl"}
    assert callers.post("clerk", V1, **body)[1] == 40022
    assert callers.get("acme", f"{V1}/list", clusterId=ACME)[1] == 200


def test_a_role_in_one_database_holds_there_only(callers: Callers) -> None:
    accounts = AccountService(callers.catalog)
    on_sales = {role: Grant(role=role, cluster_id=ACME, database="sales") for role in (Role.WRITER, Role.ADMIN)}
    writer = accounts.create_key("org-acme", "sales writer", [on_sales[Role.WRITER]]).secret
    assert create(callers, writer, dbName="sales")[1] == 0
    assert create(callers, writer)[:2] == (403, 65535)
    assert create(callers, writer, clusterId=ACME)[:2] == (200, 96012)
    admin = accounts.create_key("org-acme", "sales admin", [on_sales[Role.ADMIN]]).secret
    assert callers.post(admin, "/v2/vectordb/databases/create", dbName="more")[:2] == (403, 65535)
    assert callers.post(admin, "/v2/vectordb/users/list")[:2] == (403, 65535)
    both = accounts.create_key(
        "org-acme", "both", [on_sales[Role.WRITER], Grant(role=Role.READER, cluster_id=ACME)]
    ).secret
    assert callers.post(both, "/v2/vectordb/collections/list") == (200, 0, ["docs"])
    assert create(callers, both)[:2] == (403, 65535)


def test_keys_end_by_time_and_by_hand(callers: Callers) -> None:
    accounts = AccountService(callers.catalog)
    grants = [Grant(role=Role.READER, cluster_id=ACME)]
    brief = accounts.create_key("org-acme", "brief", grants, lifetime=0.001).secret
    revoked = accounts.create_key("org-acme", "revoked", grants).secret
    accounts.revoke_key("revoked")
    time.sleep(0.01)
    for key in (brief, revoked):
        assert callers.post(key, f"{V2}/list")[:2] == (401, 1800)
        assert callers.get(key, f"{V1}/list", clusterId=ACME)[1] == 80002


def test_keys_and_users_come_in_by_every_spelling_that_clients_have(callers: Callers) -> None:
    basic = base64.b64encode(callers.secrets["clerk"].encode()).decode()
    acme, clerk = callers.secrets["acme"], callers.secrets["clerk"]
    for sent in (f"Bearer {acme}", acme, f"bearer {acme}", f"Bearer {clerk}", clerk, f"Basic {basic}"):
        reply = callers.client.post(f"{V2}/list", json={"clusterId": ACME}, headers={"Authorization": sent})
        assert reply.json()["code"] == 0, sent
    for sent in (f"Basic {acme}", f"Bearer {basic}", "Basic Y2xlcms6d3Jvbmc=", f"Digest {acme}"):
        reply = callers.client.post(f"{V2}/list", json={"clusterId": ACME}, headers={"Authorization": sent})
        assert reply.json()["code"] == 21119, sent


def test_what_callers_know_is_kept_as_hashes_only(callers: Callers) -> None:
    kept = {each.name: each.hash for each in (*callers.catalog.accounts.list(AccountKind.KEY),)}
    assert kept["acme"] == hashlib.sha256(callers.secrets["acme"].encode()).hexdigest()
    clerk = callers.catalog.accounts.user("clerk")
    assert clerk is not None
    assert clerk.hash.startswith("$argon2id$")
    database = Path(callers.catalog.database.url.database or "")
    written = b"".join(path.read_bytes() for path in database.parent.rglob("*") if path.is_file())
    for secret in ("ops", "acme", "owner"):
        assert callers.secrets[secret].encode() not in written
    assert b"correct horse" not in written


def test_wrong_passwords_are_borne_ten_times_a_minute(tmp_path: Path) -> None:
    with two_tenants(tmp_path) as callers:
        wrong = [callers.post(f"clerk:guess {number}", f"{V2}/list") for number in range(12)]
        assert [each[:2] for each in wrong] == [(401, 1800)] * 10 + [(429, 1800)] * 2
        assert "try again in" in wrong[-1][2]
        assert callers.post("clerk:guess", f"{V2}/list", clusterId=ACME)[:2] == (200, 21119)
        assert callers.get("clerk:guess", f"{V1}/list", clusterId=ACME)[:2] == (200, 80002)
        assert callers.post("clerk", f"{V2}/list")[:2] == (429, 1800), (
            "the right one, too: it might be the next guess"
        )
        assert callers.post("acme", f"{V2}/list")[:2] == (200, 0), "a key is let in whatever came before"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"host": "0.0.0.0"}, "no key exists yet"),
        ({"host": "0.0.0.0", "allow_plaintext": True}, "penstock keys create"),
        ({"host": "0.0.0.0", "auth": "off"}, "--auth off is allowed on loopback only"),
    ],
)
def test_a_server_that_others_can_reach_is_never_open(tmp_path: Path, flags: dict[str, Any], told: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InvalidParameter, match=told):
        build_services(make_settings(tmp_path / "data", **flags))


def test_a_server_that_others_can_reach_wants_tls(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    catalog = open_catalog(f"sqlite:///{tmp_path}/data/catalog.db", load_key(tmp_path / "data" / "secret.key"))
    AccountService(catalog).create_key(catalog.orgs.ensure("default").id, "ops", [Grant(role=Role.ADMIN)])
    catalog.close()
    with pytest.raises(InvalidParameter, match="without TLS keys are sent unencrypted"):
        build_services(make_settings(tmp_path / "data", host="0.0.0.0"))
    services = build_services(make_settings(tmp_path / "data", host="0.0.0.0", allow_plaintext=True))
    assert services.authentication.is_enabled
    services.stop()
