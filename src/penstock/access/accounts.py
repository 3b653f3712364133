"""Manage API keys and users: create, list, grant and withdraw roles, revoke, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from penstock.access.credentials import HINT_LENGTH, digest_of, new_key
from penstock.access.passwords import Passwords
from penstock.catalog import Catalog
from penstock.catalog.access.accounts import Account, AccountKind, NewAccount
from penstock.domain.access import Caller, Grant, Role
from penstock.domain.names import check_user_name
from penstock.errors import AccountNotFound, InvalidParameter, PermissionDenied, Unauthenticated, shorten_name
from penstock.sources.paths import parse_root

_LONGEST_NAME = 64

MAX_DESCRIPTION = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey:
    """A new API key. ``secret`` is shown once: the catalog stores only its hash."""

    account: Account
    secret: str = field(repr=False)


class AccountService:
    """Use cases of API keys and users."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._accounts = catalog.accounts
        self._passwords = Passwords()

    def create_key(
        self,
        org_id: str,
        name: str,
        grants: Sequence[Grant],
        *,
        roots: Sequence[str] = (),
        lifetime: float | None = None,
    ) -> CreatedApiKey:
        """Create an API key for the org's clusters; ``lifetime`` is in seconds, None is unlimited.

        Raises:
            InvalidParameter: the name is invalid, or there are no grants.
            PathNotAllowed, Unsupported: a root is invalid.
            ClusterNotFound: a grant names a cluster that the org doesn't own.
        """
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise InvalidParameter(f"the name of a key must have 1 to {_LONGEST_NAME} printable characters")
        if not grants:
            raise InvalidParameter("a key needs a role: reader, writer or admin")
        if lifetime is not None and lifetime <= 0:
            raise InvalidParameter("a key must be valid for some time: leave its lifetime out for an unlimited one")
        self._check(org_id, grants)
        for root in roots:
            parse_root(root)
        secret = new_key()
        account = self._accounts.create(
            NewAccount(
                org_id=org_id,
                kind=AccountKind.KEY,
                name=name,
                hash=digest_of(secret),
                hint=secret[:HINT_LENGTH],
                grants=grants,
                roots=roots,
                expires_at=None if lifetime is None else datetime.now(UTC) + timedelta(seconds=lifetime),
            )
        )
        return CreatedApiKey(account=account, secret=secret)

    def keys(self, org_id: str | None = None) -> Sequence[Account]:
        return self._accounts.list(AccountKind.KEY, org_id)

    def revoke_key(self, name_or_id: str, org_id: str | None = None) -> Account:
        """Revoke an API key. Raises AccountNotFound; InvalidParameter: several valid keys have the name."""
        matching = [key for key in self.keys(org_id) if name_or_id in (key.id, key.name)]
        valid = [key for key in matching if key.revoked_at is None] or matching
        if not valid:
            raise AccountNotFound(f"there is no key {name_or_id}", name=name_or_id)
        if len(valid) > 1:
            raise InvalidParameter(
                f"{len(valid)} keys are named {name_or_id}. Use an id: {', '.join(key.id for key in valid)}"
            )
        return self._accounts.revoke(valid[0].id)

    def create_user(
        self,
        org_id: str,
        name: str,
        password: str,
        grants: Sequence[Grant] = (),
        *,
        roots: Sequence[str] = (),
        description: str = "",
    ) -> Account:
        """Create a user.

        Raises InvalidName, InvalidParameter (password, description), AccountExists, and as :meth:`create_key`."""
        check_user_name(name)
        _check_description(description)
        for root in roots:
            parse_root(root)
        self._check(org_id, grants)
        digest = self._passwords.hash(password)
        return self._accounts.create(
            NewAccount(
                org_id=org_id,
                kind=AccountKind.USER,
                name=name,
                hash=digest,
                grants=grants,
                roots=roots,
                description=description,
            )
        )

    def users(self, org_id: str | None = None) -> Sequence[Account]:
        return self._accounts.list(AccountKind.USER, org_id)

    def user(self, name: str, org_id: str | None = None) -> Account:
        """Look up a user. Raises AccountNotFound, also for a user of another org."""
        user = self._accounts.user(name)
        if user is None or org_id not in (None, user.org_id):
            raise AccountNotFound(f"user not found: {shorten_name(name)}", name=name)
        return user

    def set_password(
        self,
        name: str,
        password: str,
        org_id: str | None = None,
        *,
        by: Caller | None = None,
        description: str | None = None,
    ) -> None:
        """Set a user's password and, unless None, the description.

        Raises AccountNotFound, InvalidParameter, and as :meth:`drop_user`."""
        user = self.user(name, org_id)
        _check_over(by, user)
        _check_description(description)
        self._accounts.set_hash(user.id, self._passwords.hash(password), description)

    def change_password(self, name: str, old: str, new: str, description: str | None = None) -> None:
        """Change one's own password. Raises AccountNotFound, InvalidParameter; Unauthenticated: ``old`` is wrong."""
        user = self.user(name)
        _check_description(description)
        if not self._passwords.verify(user.hash, old):
            raise Unauthenticated("the old password is wrong", kind="unknown")
        self._accounts.set_hash(user.id, self._passwords.hash(new), description)

    def set_description(
        self, name: str, description: str, org_id: str | None = None, *, by: Caller | None = None
    ) -> None:
        """Set a user's description. Raises AccountNotFound, InvalidParameter, and as :meth:`drop_user`."""
        user = self.user(name, org_id)
        _check_over(by, user)
        _check_description(description)
        self._accounts.set_description(user.id, description)

    def drop_user(
        self, name: str, org_id: str | None = None, *, by: Caller | None = None, missing_ok: bool = False
    ) -> None:
        """Delete a user. ``by`` None: direct access to the catalog, such as the CLI's, without a caller.

        Raises:
            AccountNotFound: unless ``missing_ok``.
            PermissionDenied: the user has a grant where ``by`` is not an admin.
        """
        try:
            user = self.user(name, org_id)
        except AccountNotFound:
            if missing_ok:
                return
            raise
        _check_over(by, user)
        self._accounts.drop(user.id)

    def grant(self, name: str, grant: Grant, org_id: str | None = None) -> None:
        """Give a user a role. Raises AccountNotFound, ClusterNotFound."""
        user = self.user(name, org_id)
        self._check(user.org_id, [grant])
        self._accounts.grant(user.id, grant)

    def withdraw(self, name: str, grant: Grant, org_id: str | None = None) -> bool:
        """Take a role from a user; return whether the user had it, in this place. Raises AccountNotFound."""
        return self._accounts.withdraw(self.user(name, org_id).id, grant)

    def _check(self, org_id: str, grants: Sequence[Grant]) -> None:
        self._catalog.orgs.get(org_id)
        for grant in grants:
            if grant.cluster_id is not None:
                self._catalog.clusters.of_org(org_id, grant.cluster_id)


def _check_description(text: str | None) -> None:
    if text is not None and (len(text) > MAX_DESCRIPTION or "\0" in text):
        raise InvalidParameter(f"a description has at most {MAX_DESCRIPTION} characters, and no NUL")


def _check_over(caller: Caller | None, user: Account) -> None:
    """Check that the caller is an admin of all of the user's grants.

    Setting a user's password allows acting as that user: an admin of one cluster must not get access to another so.
    """
    beyond = [] if caller is None else [grant for grant in user.grants if not caller.is_admin_of(grant)]
    if caller is not None and beyond:
        raise PermissionDenied(
            f"{caller.name} is not an admin of all clusters and databases of {user.name} ({beyond[0]}). Ask an "
            "admin of these",
            caller=caller.name,
            role=Role.ADMIN.value,
        )
