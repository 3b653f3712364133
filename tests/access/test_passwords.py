"""Passwords are kept as argon2, verified slowly once, and then remembered for a minute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from argon2 import PasswordHasher, extract_parameters

from penstock.access.passwords import REMEMBERED_SECONDS, Passwords
from penstock.errors import InvalidParameter, Unauthenticated


class Counting(PasswordHasher):
    """Counts what costs a tenth of a second each."""

    verified = hashed = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashed += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.verified += 1
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> Counting:
    return Counting()


def test_a_verified_password_is_remembered_and_a_wrong_one_never(hasher: Counting) -> None:
    passwords = Passwords(hasher)
    digest = passwords.hash("correct horse")
    assert digest.startswith("$argon2id$")
    assert "correct horse" not in digest
    for _ in range(3):
        assert passwords.verify(digest, "correct horse")
    assert hasher.verified == 1
    for _ in range(3):
        assert not passwords.verify(digest, "wrong horse")
    assert hasher.verified == 4
    assert REMEMBERED_SECONDS == 60


def test_a_new_password_ends_what_is_remembered(hasher: Counting) -> None:
    passwords = Passwords(hasher)
    assert passwords.verify(passwords.hash("correct horse"), "correct horse")
    assert not passwords.verify(passwords.hash("battery staple"), "correct horse")


def test_a_user_who_is_not_there_costs_as_much_as_a_wrong_password(hasher: Counting) -> None:
    """So that nobody learns from the time of an answer which users there are."""
    passwords = Passwords(hasher)
    for _ in range(2):
        assert not passwords.verify(None, "correct horse")
    assert (hasher.verified, hasher.hashed) == (2, 0), "the first one costs no more, either"
    assert extract_parameters(passwords._dummy_hash) == extract_parameters(passwords.hash("correct horse"))


def test_of_many_that_come_at_once_one_is_verified(hasher: Counting) -> None:
    passwords = Passwords(hasher)
    digest = passwords.hash("correct horse")
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: passwords.verify(digest, "correct horse"), range(8)))
    assert hasher.verified <= 2, "of which two go on at a time"


def test_who_has_failed_too_often_is_told_before_it_costs_anything(hasher: Counting) -> None:
    def too_often() -> None:
        raise Unauthenticated("too often", kind="unknown")

    passwords = Passwords(hasher)
    digest = passwords.hash("correct horse")
    with pytest.raises(Unauthenticated):
        passwords.verify(digest, "wrong horse", too_often)
    assert hasher.verified == 0
    assert passwords.verify(digest, "correct horse")
    assert passwords.verify(digest, "correct horse", too_often), "a remembered one is let in all the same"


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
def test_lengths(password: str) -> None:
    with pytest.raises(InvalidParameter, match="6 to 256"):
        Passwords().hash(password)
