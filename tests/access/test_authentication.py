"""From keys and passwords to callers."""

from __future__ import annotations

import time

import pytest

from penstock.access.accounts import AccountService
from penstock.access.authentication import Authenticator
from penstock.access.login_limits import PER_USER_LIMIT
from penstock.catalog import Catalog
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.domain.access import Grant, Role
from penstock.errors import (
    AccountExists,
    AccountNotFound,
    ClusterNotFound,
    InvalidName,
    InvalidParameter,
    TooManyAttempts,
    Unauthenticated,
)
from tests.support.catalogs import CLUSTER

WRITER = Grant(role=Role.WRITER, cluster_id=CLUSTER)
HERE = "192.0.2.1"


def test_a_key_from_its_making_to_its_end(catalog: Catalog) -> None:
    accounts, authenticator = AccountService(catalog), Authenticator(catalog.accounts, fresh=0)
    made = accounts.create_key(DEFAULT_ORG, "nightly", [WRITER], roots=["s3://vectors/"])
    caller = authenticator.identify(f"Bearer {made.secret}", HERE)
    assert (caller.name, caller.org_id, list(caller.grants)) == ("nightly", DEFAULT_ORG, [WRITER])
    assert list(caller.roots) == ["s3://vectors/"]
    assert made.secret not in repr(made)
    assert made.secret.startswith(accounts.keys()[0].hint)
    accounts.revoke_key("nightly")
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        authenticator.identify(made.secret, HERE)


def test_a_key_expires(catalog: Catalog) -> None:
    made = AccountService(catalog).create_key(DEFAULT_ORG, "brief", [WRITER], lifetime=0.001)
    time.sleep(0.01)
    with pytest.raises(Unauthenticated):
        Authenticator(catalog.accounts).identify(made.secret, HERE)
    assert not catalog.accounts.any_valid()


def test_a_user_from_its_making_to_its_end(catalog: Catalog) -> None:
    accounts, authenticator = AccountService(catalog), Authenticator(catalog.accounts, fresh=0)
    accounts.create_user(DEFAULT_ORG, "ann", "correct horse")
    assert authenticator.identify("Bearer ann:correct horse", HERE).grants == ()
    accounts.grant("ann", WRITER)
    accounts.grant("ann", WRITER)
    assert list(authenticator.identify("ann:correct horse", HERE).grants) == [WRITER]
    accounts.withdraw("ann", WRITER)
    accounts.set_password("ann", "battery staple")
    with pytest.raises(Unauthenticated):
        authenticator.identify("ann:correct horse", HERE)
    assert authenticator.identify("ann:battery staple", HERE).grants == ()
    accounts.drop_user("ann")
    with pytest.raises(Unauthenticated, match="unknown or the password is wrong"):
        authenticator.identify("ann:battery staple", HERE)


def test_wrong_passwords_are_borne_only_so_often(catalog: Catalog) -> None:
    AccountService(catalog).create_user(DEFAULT_ORG, "ann", "correct horse")
    authenticator = Authenticator(catalog.accounts, fresh=0)
    authenticator.identify("ann:correct horse", HERE)
    for _ in range(PER_USER_LIMIT):
        with pytest.raises(Unauthenticated):
            authenticator.identify("ann:wrong", HERE)
    with pytest.raises(TooManyAttempts, match="try again in") as caught:
        authenticator.identify("ann:wrong", HERE)
    assert 0 < caught.value.details["seconds"] <= 60
    # Who is already known, and who comes from elsewhere, isn't locked out by it.
    assert authenticator.identify("ann:correct horse", HERE).name == "ann"
    with pytest.raises(Unauthenticated):
        authenticator.identify("ann:wrong", "192.0.2.2")


def test_a_right_key_is_let_in_whatever_came_before(catalog: Catalog) -> None:
    made = AccountService(catalog).create_key(DEFAULT_ORG, "nightly", [WRITER])
    authenticator = Authenticator(catalog.accounts, fresh=0)
    wrong = made.secret[:-1] + ("a" if made.secret[-1] != "a" else "b")
    for _ in range(PER_USER_LIMIT):
        with pytest.raises(Unauthenticated):
            authenticator.identify(wrong, HERE)
    with pytest.raises(TooManyAttempts):
        authenticator.identify(wrong, HERE)
    assert authenticator.identify(made.secret, HERE).name == "nightly"


def test_doors_are_open_until_the_first_key_and_never_again(catalog: Catalog) -> None:
    authenticator = Authenticator(catalog.accounts, optional=True, fresh=0)
    assert authenticator.identify("", HERE).is_anybody
    AccountService(catalog).create_key(DEFAULT_ORG, "first", [WRITER])
    with pytest.raises(Unauthenticated):
        authenticator.identify("", HERE)
    AccountService(catalog).revoke_key("first")
    assert authenticator.is_enabled
    assert Authenticator(catalog.accounts, optional=True, fresh=0).is_enabled


def test_what_is_refused(catalog: Catalog) -> None:
    accounts = AccountService(catalog)
    accounts.create_user(DEFAULT_ORG, "ann", "correct horse")
    with pytest.raises(AccountExists, match="user already exists: ann"):
        accounts.create_user(DEFAULT_ORG, "ann", "correct horse")
    with pytest.raises(InvalidName):
        accounts.create_user(DEFAULT_ORG, "a:b", "correct horse")
    with pytest.raises(InvalidParameter, match="6 to 256"):
        accounts.create_user(DEFAULT_ORG, "bob", "short")
    with pytest.raises(ClusterNotFound):
        accounts.create_key(catalog.orgs.ensure("acme").id, "theirs", [WRITER])
    with pytest.raises(AccountNotFound):
        accounts.revoke_key("nobody")
    for _ in range(2):
        accounts.create_key(DEFAULT_ORG, "twin", [WRITER])
    with pytest.raises(InvalidParameter, match="2 keys are named twin"):
        accounts.revoke_key("twin")
