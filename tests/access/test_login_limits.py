"""Failed logins at several servers of one catalog."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from cryptography.fernet import Fernet

from penstock.access import login_limits
from penstock.access.accounts import AccountService
from penstock.access.authentication import Authenticator
from penstock.access.login_limits import PER_ADDRESS_LIMIT, PER_USER_LIMIT, LoginLimits, client_network
from penstock.catalog import Catalog
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.catalog.access.failed_logins import LOGIN_CHANNEL
from penstock.errors import TooManyAttempts, Unauthenticated
from tests.support.catalogs import opened_catalog

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
LIMIT = 20.0


@pytest.fixture
def servers(migrated_url: str) -> Iterator[list[tuple[Catalog, LoginLimits]]]:
    """Two openings of one catalog, whose limits listen to each other."""
    key = Fernet.generate_key()
    with ExitStack() as stack:
        opened = []
        for _ in range(2):
            catalog = stack.enter_context(opened_catalog(migrated_url, key))
            limits = LoginLimits(catalog.failed_logins)
            limits.start()
            stack.callback(limits.stop)
            opened.append((catalog, limits))
        yield opened


def is_refused(limits: LoginLimits, address: str, name: str) -> bool:
    try:
        limits.check(address, name)
    except TooManyAttempts:
        return True
    return False


def wait_until_heard(speaker: LoginLimits, listener: LoginLimits) -> None:
    """Wait until one hears the other: until then notifications are lost."""
    until = time.monotonic() + LIMIT
    for number in range(10_000):
        address = f"198.51.{number // 250}.{number % 250}"
        for _ in range(PER_USER_LIMIT):
            speaker.note_failure(address, "probe")
        time.sleep(0.05)
        if is_refused(listener, address, "probe"):
            return
        assert time.monotonic() < until


def test_servers_count_failed_logins_together(servers: list[tuple[Catalog, LoginLimits]]) -> None:
    (first, _), (second, _) = servers
    AccountService(first).create_user(DEFAULT_ORG, "ann", "correct horse")
    wait_until_heard(servers[0][1], servers[1][1])
    wait_until_heard(servers[1][1], servers[0][1])
    both = [Authenticator(catalog.accounts, fresh=0, limits=limits) for catalog, limits in servers]
    for attempt in range(PER_USER_LIMIT):
        with pytest.raises(Unauthenticated):
            both[attempt % 2].identify("ann:wrong", HERE)
    until = time.monotonic() + LIMIT
    while not all(is_refused(limits, HERE, "user:ann") for _, limits in servers):
        assert time.monotonic() < until
        time.sleep(0.02)
    for authenticator in both:
        with pytest.raises(TooManyAttempts, match="try again in"):
            authenticator.identify("ann:wrong", HERE)
        # Their own failures are counted once: others of the address may still try.
        with pytest.raises(Unauthenticated):
            authenticator.identify("bob:wrong", HERE)
        assert authenticator.identify("ann:correct horse", ELSEWHERE).name == "ann"
    assert second.failed_logins.user_key("user:ann") == first.failed_logins.user_key("user:ann")


def test_names_are_sent_as_keyed_hashes_only(servers: list[tuple[Catalog, LoginLimits]], migrated_url: str) -> None:
    limits = servers[0][1]
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(f"LISTEN {LOGIN_CHANNEL}")
        limits.note_failure(HERE, "user:my-secret")
        (sent,) = list(connection.notifies(timeout=LIMIT, stop_after=1))
        assert HERE in sent.payload
        assert "my-secret" not in sent.payload


def test_a_notification_that_is_not_understood_changes_nothing(
    servers: list[tuple[Catalog, LoginLimits]], migrated_url: str
) -> None:
    wait_until_heard(servers[0][1], servers[1][1])
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        for payload in ("nonsense", "5", "[1]", "{}", '["another", 5, null]'):
            connection.execute("SELECT pg_notify(%s, %s)", [LOGIN_CHANNEL, payload])
    wait_until_heard(servers[0][1], servers[1][1])


def test_an_address_has_a_limit_of_its_own_whatever_the_names() -> None:
    limits = LoginLimits()
    for number in range(PER_ADDRESS_LIMIT):
        limits.note_failure(HERE, f"user:{number}")
    assert is_refused(limits, HERE, "user:ann")
    assert not is_refused(limits, ELSEWHERE, "user:ann")


def test_an_attempt_counts_for_a_minute() -> None:
    now = 1000.0
    limits = LoginLimits(clock=lambda: now)
    for _ in range(PER_USER_LIMIT):
        limits.note_failure(HERE, "user:ann")
        now += 1
    with pytest.raises(TooManyAttempts, match="try again in 50 s"):
        limits.check(HERE, "user:ann")
    limits.note_failure(HERE, "user:ann")  # of a call that was checked before the others had failed
    now = 1060.5
    limits.check(HERE, "user:ann")
    limits.note_failure(HERE, "user:ann")
    with pytest.raises(TooManyAttempts, match="try again in 1 s"):
        limits.check(HERE, "user:ann")
    now += 120
    assert not is_refused(limits, HERE, "user:ann")


def test_the_memory_of_failed_attempts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_limits, "_MAX_COUNTED", 1000)
    now = 1000.0
    limits = LoginLimits(clock=lambda: now)
    for number in range(5000):
        limits.note_failure(f"198.51.{number // 250}.{number % 250}", f"user:{number}")
    assert len(limits._failures) == 1000
    now += 61
    limits.note_failure(HERE, "user:ann")
    assert len(limits._failures) == 2, "of an address and a user; others are forgotten after a minute"


def test_an_ipv6_client_is_its_network() -> None:
    assert client_network("2001:db8::1") == client_network("2001:db8::ffff") == "2001:db8::/64"
    assert client_network("::ffff:192.0.2.1") == HERE
    assert client_network("unix") == "unix"
