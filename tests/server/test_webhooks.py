"""The calls and commands of webhooks, and deliveries of a server that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from penstock.domain.webhooks import new_secret
from tests.support.servers import RunningServer, running_server
from tests.support.tenants import ACME, Callers, two_tenants
from tests.support.webhook_receiver import receiver

WEBHOOKS = "/v2/vectordb/jobs/import/webhooks"
FLAGS = ("--allow-private-webhooks", "127.0.0.0/8")
PUBLIC = "https://1.1.1.1/hook"


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("webhooks")) as callers:
        yield callers


def create(callers: Callers, who: str = "owner", **body: Any) -> tuple[int, int, Any]:
    return callers.post(who, f"{WEBHOOKS}/create", **{"clusterId": ACME, "url": PUBLIC, **body})


def listed(callers: Callers, who: str = "owner") -> Any:
    status, code, data = callers.post(who, f"{WEBHOOKS}/list", clusterId=ACME)
    assert (status, code) == (200, 0), data
    return data


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"url": "http://127.0.0.1:80/"}, "the host 127.0.0.1 of the webhook's url has no public address"),
        ({"url": "http://169.254.169.254/latest"}, "has no public address"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "--allow-private-webhooks"),
        ({"url": "https://localhost/"}, "has no public address"),
        ({"url": "https://no-such-host.invalid/"}, "cannot be resolved"),
        ({"url": "ftp://1.1.1.1/"}, "must be an address such as https://example.com/hook"),
        ({"url": "https://user:pw@1.1.1.1/"}, "must have no user, password or fragment"),
        ({"url": f"https://1.1.1.1/{'a' * 2048}"}, "at most 2048"),
        ({"events": ["finished"]}, "no webhook event has the name finished; events are pending, planning"),
        ({"secret": "short"}, "must be whsec_ and 24 to 64 bytes in Base64"),
        ({"collectionName": "docs"}, "collectionName needs a dbName"),
        ({"dbName": "absent"}, "database not found[database=absent]"),
        ({"dbName": "sales", "collectionName": "absent"}, "collection not found"),
    ],
)
def test_a_refused_webhook_changes_nothing(callers: Callers, body: dict[str, Any], message: str) -> None:
    before = listed(callers)
    _, code, text = create(callers, **body)
    assert code != 0
    assert message in text
    assert listed(callers) == before


def test_a_secret_is_shown_once_and_stored_encrypted(callers: Callers) -> None:
    given = new_secret()
    for secret in (None, given):
        data = create(callers, **({"secret": secret} if secret else {}))[2]
        assert secret in (None, data["secret"])
        assert data["secret"].startswith("whsec_")
        assert data["secret"] not in json.dumps(listed(callers))
        with callers.catalog.database.read() as connection:
            stored = connection.exec_driver_sql("SELECT sealed_secret FROM webhook").scalars().all()
        assert all(data["secret"].removeprefix("whsec_").encode() not in sealed for sealed in stored)
        assert callers.catalog.webhooks.secret(data["webhookId"]) == data["secret"]
        assert callers.post("owner", f"{WEBHOOKS}/delete", clusterId=ACME, webhookId=data["webhookId"])[1] == 0
    assert listed(callers) == []


def test_only_admins_of_what_a_webhook_covers_see_it(callers: Callers) -> None:
    webhook_id = create(callers, dbName="sales", events=["completed"])[2]["webhookId"]
    (view,) = listed(callers)
    assert view | {"createTime": ""} == {
        "webhookId": webhook_id,
        "url": PUBLIC,
        "events": ["completed"],
        "dbName": "sales",
        "createTime": "",
    }
    for who in ("acme", "clerk"):
        assert create(callers, who)[:2] == (200, 96012) or create(callers, who)[0] == 403
        assert callers.post(who, f"{WEBHOOKS}/list", clusterId=ACME)[0] == 403
    for call in ("delete", "deliveries", "test"):
        for who, cluster in (("acme", ACME), ("ops", "in01-local")):
            _, code, text = callers.post(who, f"{WEBHOOKS}/{call}", clusterId=cluster, webhookId=webhook_id)
            assert code == 1100
            assert text.startswith(f"webhook {webhook_id} does not exist")
        assert callers.post("ops", f"{WEBHOOKS}/{call}", clusterId=ACME, webhookId=webhook_id)[1] == 96018
    assert callers.post("owner", f"{WEBHOOKS}/delete", clusterId=ACME, webhookId=webhook_id)[1] == 0


def penstock(server: RunningServer, *arguments: str) -> str:
    result = CliRunner().invoke(cli, [*arguments, "--url", server.url])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_commands_and_a_kill_between_transition_and_delivery(tmp_path: Path) -> None:
    """The receiver is slow: the server dies while it sends the first event, with the second in the outbox."""
    with receiver(seconds=0.0) as hook:
        with running_server(tmp_path, *FLAGS, forked=True) as server, server.client() as client:
            client.collections.create("docs", dimension=2)
            added = json.loads(penstock(server, "webhooks", "add", hook.url, "--event", "failed", "--json"))
            assert penstock(server, "webhooks", "test", added["id"]).startswith("Accepted with HTTP 200")
            assert hook.messages.pop().is_signed_with(added["secret"])
            assert hook.url in penstock(server, "webhooks", "list")
            hook.seconds = 20.0
            jobs = [client.imports.create("docs", [f"absent{number}.json"]) for number in range(2)]
            for job in jobs:
                for state in client.imports.watch(job):
                    last = state
                assert last.state == "Failed"
            hook.wait_for(1)
            server.kill()
        hook.seconds = 0.0
        with running_server(tmp_path, *FLAGS, forked=True) as server, server.client() as client:
            hook.wait_for(2)
            assert all(message.is_signed_with(added["secret"]) for message in hook.messages)
            assert {message.data["data"]["jobId"] for message in hook.messages} == {job.id for job in jobs}
            hook.wait_until(
                lambda: any(item.state == "delivered" for item in client.webhooks.deliveries(added["id"]))
            )
            shown = penstock(server, "webhooks", "deliveries", added["id"])
            assert "delivered" in shown
            assert "pending" in shown  # the one that was being sent is repeated after its lease
            penstock(server, "webhooks", "remove", added["id"])
            assert client.webhooks.list() == []
