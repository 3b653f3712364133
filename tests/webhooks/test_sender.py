"""Deliveries: stored with the transition, sent once by one of several servers, repeated until they are accepted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet

from penstock.catalog import Catalog, open_catalog
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.webhooks import EVENTS, Webhook, new_secret
from penstock.errors import LimitExceeded, WebhookNotFound
from penstock.webhooks import sender as sender_module
from penstock.webhooks.sender import WebhookSender
from penstock.wire.milvus_v2.webhooks import message_data
from tests.support.catalogs import CLUSTER, new_job, stored_collection
from tests.support.webhook_receiver import Receiver, receiver

LOOPBACK = "127.0.0.0/8"


class Attempts:
    """Counts the results of attempts."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()

    def attempted(self, result: str) -> None:
        self.results[result] += 1


@pytest.fixture(autouse=True)
def frequent_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated attempts are due after less than the second that a sender sleeps."""
    monkeypatch.setattr(sender_module, "_POLL_SECONDS", 0.1)


@pytest.fixture
def key() -> bytes:
    return Fernet.generate_key()


@pytest.fixture
def catalog(catalog_url: str, key: bytes) -> Iterator[Catalog]:
    with closing(open_catalog(catalog_url, key)) as catalog:
        catalog.clusters.ensure(CLUSTER, "local")
        yield catalog


@contextmanager
def running_sender(
    catalog: Catalog, networks: str = LOOPBACK, render: Callable[[ImportJob], Mapping[str, Any]] = message_data
) -> Iterator[Attempts]:
    attempts = Attempts()
    sender = WebhookSender(catalog, render, attempts, networks=networks, retention=3600.0)
    sender.start()
    try:
        yield attempts
    finally:
        sender.stop()
        # What has been received may not be stored yet, and the catalog is closed next.
        for thread in threading.enumerate():
            if thread.name == "webhook":
                thread.join(2)


def stored_webhook(catalog: Catalog, hook: Receiver, **values: Any) -> tuple[Webhook, str]:
    webhook = Webhook(
        **{
            "id": f"wh_{len(catalog.webhooks.list(CLUSTER))}",
            "cluster_id": CLUSTER,
            "url": hook.url,
            "events": EVENTS,
            "created_at": datetime.now(UTC),
            **values,
        }
    )
    secret = new_secret()
    catalog.webhooks.create(webhook, secret, limit=10)
    return webhook, secret


def aborted_job(catalog: Catalog, collection: str = "docs") -> ImportJob:
    database = catalog.databases.get(CLUSTER, "default")
    there = catalog.collections.find(database, collection) or stored_collection(catalog, collection)
    job = catalog.jobs.insert(new_job(there))
    return catalog.jobs.request_transition(job, JobState.ABORTED, reason="aborted by user")


def test_a_transition_is_sent_signed_with_the_job_as_describe_has_it(catalog: Catalog) -> None:
    with receiver() as hook, running_sender(catalog) as attempts:
        webhook, secret = stored_webhook(catalog, hook)
        job = aborted_job(catalog)
        (message,) = hook.wait_for(1)
        hook.wait_until(lambda: attempts.results["delivered"] == 1)
    assert message.is_signed_with(secret)
    assert not message.is_signed_with(new_secret())
    assert message.data["type"] == "import.aborted"
    data = message.data["data"]
    assert (data["jobId"], data["state"], data["reason"]) == (str(job.id), "Failed", "aborted by user")
    assert (data["collectionName"], data["dbName"], data["clusterId"]) == ("docs", "default", CLUSTER)
    (delivery,) = catalog.webhooks.deliveries(webhook.id, 10)
    assert (delivery.state, delivery.attempts, delivery.status) == ("delivered", 1, 200)


def test_webhooks_get_the_events_of_their_scope_only(catalog: Catalog) -> None:
    with receiver() as hook:
        for values in (
            {"events": ("completed",)},
            {"database": "other"},
            {"database": "default", "collection": "books"},
        ):
            stored_webhook(catalog, hook, **values)
        wanted, _ = stored_webhook(catalog, hook, database="default", collection="docs", events=("aborted",))
        with running_sender(catalog):
            aborted_job(catalog)
            hook.wait_for(1)
        assert [len(catalog.webhooks.deliveries(webhook.id, 9)) for webhook in catalog.webhooks.list(CLUSTER)] == [
            0,
            0,
            0,
            1,
        ]
        assert catalog.webhooks.list(CLUSTER)[-1].id == wanted.id


def test_an_attempt_that_fails_is_repeated_with_the_same_message_id(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "PAUSES", (0.1,) * 7)
    with receiver(500, 503) as hook, running_sender(catalog) as attempts:
        webhook, secret = stored_webhook(catalog, hook)
        aborted_job(catalog)
        messages = hook.wait_for(3)
        hook.wait_until(lambda: attempts.results["delivered"] == 1)
    assert len({message.headers["webhook-id"] for message in messages}) == 1
    assert all(message.is_signed_with(secret) for message in messages)
    assert attempts.results == {"retried": 2, "delivered": 1}
    (delivery,) = catalog.webhooks.deliveries(webhook.id, 10)
    assert (delivery.state, delivery.attempts) == ("delivered", 3)


@pytest.mark.parametrize(
    ("status", "location", "error"),
    [
        (302, "http://127.0.0.1:1/", "the receiver redirects, which is not followed: change the webhook's url"),
        (500, "", "HTTP 500: the receiver's answer"),
    ],
)
def test_an_event_is_given_up_after_eight_attempts(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, status: int, location: str, error: str
) -> None:
    monkeypatch.setattr(sender_module, "PAUSES", (0.02,) * 7)
    with receiver(*[status] * 8, location=location) as hook, running_sender(catalog) as attempts:
        webhook, _ = stored_webhook(catalog, hook)
        aborted_job(catalog)
        hook.wait_until(lambda: attempts.results["failed"] == 1)
        assert len(hook.messages) == 8
    (delivery,) = catalog.webhooks.deliveries(webhook.id, 10)
    assert (delivery.state, delivery.status, delivery.error) == ("failed", status, error)


def test_an_event_whose_message_cannot_be_made_is_given_up_too(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(job: ImportJob) -> Mapping[str, Any]:
        if job.collection == "broken":
            raise KeyError("state")
        return message_data(job)

    monkeypatch.setattr(sender_module, "PAUSES", (0.02,) * 7)
    with receiver() as hook, running_sender(catalog, render=render) as attempts:
        webhook, _ = stored_webhook(catalog, hook)
        aborted_job(catalog, "broken")
        aborted_job(catalog)
        hook.wait_until(lambda: attempts.results["failed"] == 1)
        assert len(hook.messages) == 1
    delivered, failed = catalog.webhooks.deliveries(webhook.id, 10)
    assert (delivered.state, failed.state, failed.attempts) == ("delivered", "failed", 8)
    assert str(failed.error).startswith("internal error")


def test_a_private_address_is_refused_at_each_delivery(catalog: Catalog) -> None:
    with receiver() as hook, running_sender(catalog, networks="") as attempts:
        webhook, _ = stored_webhook(catalog, hook)  # as if its name had another address when it was created
        aborted_job(catalog)
        hook.wait_until(lambda: attempts.results["retried"] == 1)
        assert hook.messages == []
    (delivery,) = catalog.webhooks.deliveries(webhook.id, 10)
    assert delivery.error == "the host has no public address, and its private one is not allowed"


def test_a_slow_receiver_delays_no_other(catalog: Catalog) -> None:
    with receiver(seconds=2.0) as slow, receiver() as fast, running_sender(catalog):
        stored_webhook(catalog, slow)
        stored_webhook(catalog, fast)
        for _ in range(5):
            aborted_job(catalog)
        fast.wait_for(5)
        assert len(slow.messages) <= 2


def test_a_webhook_is_sent_to_after_a_thread_could_not_start(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refused = threading.Thread.start, list[str]()

    def start_but_once(thread: threading.Thread) -> None:
        if thread.name == "webhook" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_once)
    monkeypatch.setattr(sender_module, "LEASE_MILLIS", 300)
    with receiver() as hook, running_sender(catalog):
        stored_webhook(catalog, hook)
        aborted_job(catalog)
        hook.wait_for(1)
    assert refused


def test_the_log_is_cleaned_up_by_the_clock_however_often_a_sender_is_woken(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_POLL_SECONDS", 60.0)
    cleanups = list[int]()
    monkeypatch.setattr(catalog.webhooks, "forget", lambda before, keep: cleanups.append(before))
    with receiver() as hook, running_sender(catalog):
        stored_webhook(catalog, hook)
        for number in range(1, 21):
            aborted_job(catalog)
            hook.wait_for(number)
    assert len(cleanups) == 1


def test_of_several_servers_one_sends_and_a_dead_one_is_replaced(
    catalog: Catalog, catalog_url: str, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_catalog(catalog_url, key)) as other, receiver() as hook:
        webhook, _ = stored_webhook(catalog, hook)
        aborted_job(catalog)
        claimed = other.webhooks.claim(lease_millis=300)  # by a process that dies then
        assert claimed is not None
        assert catalog.webhooks.claim(lease_millis=300) is None
        with running_sender(catalog), running_sender(other):
            hook.wait_for(1)
            for _ in range(20):
                aborted_job(catalog)
            hook.wait_for(21)
        other.webhooks.finish(claimed.delivery, status=500, error="late")
    assert len({message.headers["webhook-id"] for message in hook.messages}) == len(hook.messages) == 21
    deliveries = catalog.webhooks.deliveries(webhook.id, 100)
    assert [delivery.attempts for delivery in deliveries] == [1] * 20 + [2]
    assert deliveries[-1].error != "late"


def test_a_webhook_whose_secret_cannot_be_decrypted_fails_and_delays_no_other(
    catalog: Catalog, catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_POLL_SECONDS", 60.0)
    with receiver() as hook, closing(open_catalog(catalog_url, Fernet.generate_key())) as other:
        lost, _ = stored_webhook(catalog, hook)
        for _ in range(5):
            aborted_job(catalog)
        stored_webhook(other, hook, id="wh_new")
        aborted_job(other)
        with running_sender(other) as attempts:
            hook.wait_for(1)
            hook.wait_until(lambda: attempts.results == {"failed": 6, "delivered": 1})
        for delivery in other.webhooks.deliveries(lost.id, 9):
            assert (delivery.state, delivery.attempts) == ("failed", 1)
            assert "was encrypted with a different key" in str(delivery.error)


def test_several_servers_send_to_a_webhook_one_message_at_a_time_in_order(
    catalog: Catalog, catalog_url: str, key: bytes
) -> None:
    with closing(open_catalog(catalog_url, key)) as other, receiver(seconds=0.2) as hook:
        webhook, _ = stored_webhook(catalog, hook, events=("aborted",))
        jobs = [str(aborted_job(catalog).id) for _ in range(8)]
        with running_sender(catalog), running_sender(other):
            hook.wait_until(lambda: all(each.finished_at for each in catalog.webhooks.deliveries(webhook.id, 10)))
    assert hook.most_open == 1
    assert [message.data["data"]["jobId"] for message in hook.messages] == jobs


def test_a_webhook_is_busy_until_the_outcome_of_its_message_is_stored(
    catalog: Catalog, catalog_url: str, key: bytes
) -> None:
    with closing(open_catalog(catalog_url, key)) as other, receiver() as hook:
        stored_webhook(catalog, hook, events=("aborted",))
        for _ in range(2):
            aborted_job(catalog)
        first = catalog.webhooks.claim(lease_millis=60_000)
        assert first is not None
        assert other.webhooks.claim(lease_millis=60_000) is None
        catalog.webhooks.finish(first.delivery, status=500, error="busy", again_after=60_000)
        second = other.webhooks.claim(lease_millis=60_000)
        assert second is not None, "one that waits for its repetition delays no other"
        assert second.delivery.id > first.delivery.id
        assert catalog.webhooks.claim(lease_millis=60_000) is None


def test_of_many_claims_at_once_one_gets_the_webhook(catalog: Catalog, catalog_url: str, key: bytes) -> None:
    with closing(open_catalog(catalog_url, key)) as other, receiver() as hook, ThreadPoolExecutor(8) as threads:
        stored_webhook(catalog, hook, events=("aborted",))
        for _ in range(20):
            aborted_job(catalog)
        for _ in range(20):
            claims = list(threads.map(lambda at: (catalog, other)[at % 2].webhooks.claim(60_000), range(8)))
            (attempt,) = (claim for claim in claims if claim is not None)
            catalog.webhooks.finish(attempt.delivery, status=200, error=None)


def test_an_interrupted_attempt_is_repeated_at_once_by_the_only_server(catalog: Catalog) -> None:
    with receiver() as hook:
        stored_webhook(catalog, hook, events=("aborted",))
        aborted_job(catalog)
        claimed = catalog.webhooks.claim(lease_millis=60_000)  # by a process that dies then
        assert claimed is not None
        catalog.webhooks.release_all()
        with running_sender(catalog):
            hook.wait_for(1)
    assert hook.messages[0].headers["webhook-id"] == f"msg_{claimed.delivery.id}"


def test_the_log_is_bounded_and_a_deleted_webhook_leaves_nothing(catalog: Catalog) -> None:
    with receiver() as hook:
        webhook, _ = stored_webhook(catalog, hook)
        with running_sender(catalog) as attempts:
            for _ in range(4):
                aborted_job(catalog)
            hook.wait_until(lambda: attempts.results["delivered"] == 4)
        aborted_job(catalog)  # stays pending
        assert catalog.webhooks.forget(finished_before=0, keep=3) == 2
        assert [delivery.state for delivery in catalog.webhooks.deliveries(webhook.id, 9)] == [
            "pending",
            "delivered",
            "delivered",
        ]
        catalog.webhooks.delete(webhook.id)
        assert catalog.webhooks.deliveries(webhook.id, 9) == []
        aborted_job(catalog)
        assert catalog.webhooks.claim(1000) is None
    with pytest.raises(WebhookNotFound):
        catalog.webhooks.get(CLUSTER, webhook.id)


def test_a_cluster_has_a_limited_number_of_webhooks(catalog: Catalog) -> None:
    with receiver() as hook:
        for _ in range(10):
            stored_webhook(catalog, hook)
        with pytest.raises(LimitExceeded, match="has 10 webhooks, the maximum"):
            stored_webhook(catalog, hook)
