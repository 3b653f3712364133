"""What the audit log keeps of refusals, of which anybody may cause as many as he likes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from penstock.access.accounts import AccountService
from penstock.access.audit import AGGREGATED, OF_ALL, PER_ADDRESS_LIMIT, AuditedAuthentication, AuditLog
from penstock.access.authentication import Authenticator
from penstock.catalog import Catalog
from penstock.domain.audit import AuditEntry, plain
from penstock.errors import AccessDenied

REFUSAL = AuditEntry(caller="ann", action="collection.drop", address="192.0.2.7", outcome="permission_denied")
LONG = 3600.0


def kept(catalog: Catalog) -> list[AuditEntry]:
    return [replace(each, at=None) for each in catalog.audit.read()]


def test_what_is_refused_again_and_again_is_stored_once_and_then_counted(catalog: Catalog) -> None:
    audit = AuditLog(catalog.audit, window=LONG)
    for _ in range(1000):
        audit.refused(REFUSAL)
    assert kept(catalog) == [REFUSAL]
    audit.close()
    assert kept(catalog) == [REFUSAL, replace(REFUSAL, times=999)]


def test_the_numbers_are_stored_when_the_time_is_over(catalog: Catalog) -> None:
    audit = AuditLog(catalog.audit, window=0.2)
    for _ in range(100):
        audit.refused(REFUSAL)
    until = time.monotonic() + 30
    while sum(each.times for each in kept(catalog)) < 100:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert {replace(each, times=1) for each in kept(catalog)} == {REFUSAL}
    assert len(kept(catalog)) < 100
    audit.close()


def test_refusals_are_counted_and_stored_after_a_time_without_threads(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    audit = AuditLog(catalog.audit, window=0.2)
    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", no_thread)
        for _ in range(10):
            audit.refused(REFUSAL)
    audit.refused(REFUSAL)
    until = time.monotonic() + 30
    while sum(each.times for each in kept(catalog)) < 11:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert kept(catalog) == [REFUSAL, replace(REFUSAL, times=10)]
    audit.close()


def test_of_too_many_different_refusals_of_one_address_the_number_is_stored(catalog: Catalog) -> None:
    audit = AuditLog(catalog.audit, window=LONG)
    for number in range(PER_ADDRESS_LIMIT + 50):
        audit.refused(replace(REFUSAL, caller=f"guess {number}", outcome="unauthenticated"))
    other = replace(REFUSAL, address="192.0.2.8")
    audit.refused(other)
    assert len(kept(catalog)) == PER_ADDRESS_LIMIT + 1, "others are told of meanwhile"
    audit.close()
    assert kept(catalog)[-1] == AuditEntry(
        caller=AGGREGATED, action=AGGREGATED, address=AGGREGATED, outcome="unauthenticated", times=50
    )


def test_a_flood_from_everywhere_stores_so_many_and_loses_no_number(catalog: Catalog) -> None:
    audit = AuditLog(catalog.audit, window=LONG)
    flood = [replace(REFUSAL, address=f"2001:db8::{number:x}") for number in range(2 * OF_ALL)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(audit.refused, flood))
    audit.close()
    assert len(kept(catalog)) == OF_ALL + 1
    assert sum(each.times for each in kept(catalog)) == 2 * OF_ALL


def test_who_is_not_let_in_is_noted_by_name_only_if_it_is_somebodys(catalog: Catalog) -> None:
    org = catalog.orgs.ensure("acme")
    user = AccountService(catalog).create_user(org.id, "clerk", "correct horse")
    authentication = AuditedAuthentication(Authenticator(catalog.accounts), AuditLog(catalog.audit, LONG))
    for header in ("Bearer clerk:wrong", "Bearer my-secret:x", "", "Bearer psk_" + "x" * 43, "Bearer nonsense"):
        with pytest.raises(AccessDenied):
            authentication.identify(header, "192.0.2.7")
    found = kept(catalog)
    assert [(each.caller, each.caller_id, each.org_id) for each in found[:2]] == [
        ("clerk", user.id, org.id),
        ("unknown", None, None),
    ]
    assert {(each.action, each.address, each.outcome) for each in found} == {
        ("login", "192.0.2.7", "unauthenticated")
    }
    assert "secret" not in str(found)
    assert "psk_" not in str(found)
    assert authentication.identify("Bearer clerk:correct horse", "192.0.2.7").address == "192.0.2.7"
    assert len(kept(catalog)) == len(found), "who is let in is noted with what he does"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no file https://u:p@host/a.csv?sig=abc&x=1, sorry", "no file https://…@host/a.csv?… sorry"),
        ("s3://AKIA:secret@bucket/a", "s3://…@bucket/a"),
        ("Authorization: Bearer psk_abc is wrong", "Authorization: … is wrong"),
        ("is it there? no", "is it there? no"),
        ("x" * 1000, "x" * 299 + "…"),
    ],
)
def test_a_reason_holds_no_secrets(text: str, told: str) -> None:
    assert plain(text) == told
