"""What clients send to say who they are."""

from __future__ import annotations

import base64

import pytest

from penstock.access.credentials import KeyCredentials, UserCredentials, digest_of, new_key, parse_credentials
from penstock.errors import Unauthenticated

KEY = "psk_" + "kE_y-" * 8 + "abc"
BASIC = base64.b64encode(b"ann:a:b").decode()


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer   {KEY}", KEY, f" Bearer {KEY} "])
def test_a_key(header: str) -> None:
    assert parse_credentials(header) == KeyCredentials(KEY)


@pytest.mark.parametrize("header", ["Bearer ann:a:b", "ann:a:b", f"Basic {BASIC}"])
def test_a_user(header: str) -> None:
    assert parse_credentials(header) == UserCredentials("ann", "a:b")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_password_beyond_ascii(encoding: str) -> None:
    """However a client encodes it; the server reads the bytes of headers as Latin-1."""
    sent = "Bearer ann:pässwörd".encode(encoding)
    assert parse_credentials(sent.decode("latin-1")) == UserCredentials("ann", "pässwörd")
    basic = "Basic " + base64.b64encode("ann:pässwörd €".encode()).decode()
    assert parse_credentials(basic) == UserCredentials("ann", "pässwörd €")


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("", "absent"),
        ("Bearer ", "absent"),
        ("Bearer", "absent"),
        ("Basic", "absent"),
        ("Bearer nonsense", "illegal"),
        (f"Bearer {KEY}x", "illegal"),
        ("Bearer :password", "illegal"),
        ("Basic ann:password", "illegal"),
        ("Bearer " + "u" * 600 + ":" + "p" * 600, "illegal"),
    ],
)
def test_nothing_that_anybody_could_have(header: str, kind: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        parse_credentials(header)
    assert caught.value.details["kind"] == kind
    assert "password" not in str(caught.value).replace("user:password", "")


def test_secrets_are_not_printed() -> None:
    assert KEY not in repr(KeyCredentials(KEY))
    assert "secret" not in repr(UserCredentials("ann", "secret"))
    assert KEY not in digest_of(KEY)
    assert new_key() != new_key()
