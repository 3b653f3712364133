"""API keys and users in the catalog: names, grants, and hashes of keys and passwords."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, from_millis, now_millis, to_millis, upsert_insert
from penstock.domain.access import Caller, Grant, Role
from penstock.errors import AccountExists, AccountNotFound


class AccountKind(StrEnum):
    KEY = "key"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A key or a user. ``hint`` is the beginning of a key, to recognize it in settings."""

    id: str
    org_id: str
    kind: AccountKind
    name: str
    hash: str
    hint: str
    roots: Sequence[str]
    grants: Sequence[Grant]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    description: str = ""

    @property
    def is_valid(self) -> bool:
        """Neither revoked nor expired."""
        expired = self.expires_at is not None and to_millis(self.expires_at) <= now_millis()
        return self.revoked_at is None and not expired

    def caller(self) -> Caller:
        is_user = self.kind is AccountKind.USER
        return Caller(
            id=self.id, name=self.name, org_id=self.org_id, grants=self.grants, roots=self.roots, is_user=is_user
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """The values that :meth:`AccountRepository.create` stores. ``hash`` is of the key or of the user's password."""

    org_id: str
    kind: AccountKind
    name: str
    hash: str
    hint: str = ""
    grants: Sequence[Grant] = ()
    roots: Sequence[str] = ()
    expires_at: datetime | None = None
    description: str = ""


_account = tables.account.c
_KEY = select(tables.account).where(_account.kind == AccountKind.KEY.value, _account.hash == bindparam("hash"))
_USER = select(tables.account).where(_account.kind == AccountKind.USER.value, _account.name == bindparam("name"))
_SESSION = (
    select(tables.account)
    .join(tables.web_session, tables.web_session.c.account_id == _account.id)
    .where(
        tables.web_session.c.token_hash == bindparam("token_hash"),
        tables.web_session.c.expires_at > bindparam("now"),
        tables.web_session.c.account_hash == _account.hash,
    )
)
_GRANTS = select(tables.account_grant).where(tables.account_grant.c.account_id == bindparam("id"))


class AccountRepository:
    """Create, look up, change and delete API keys and users."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def create(self, new: NewAccount) -> Account:
        """Store a new account. Raises AccountExists: the user's name is taken."""
        account_id = f"{new.kind}-{secrets.token_hex(8)}"
        try:
            with self._database.write() as connection:
                connection.execute(
                    insert(tables.account).values(
                        id=account_id,
                        org_id=new.org_id,
                        kind=new.kind.value,
                        name=new.name,
                        hash=new.hash,
                        hint=new.hint,
                        roots=list(new.roots),
                        description=new.description,
                        created_at=now_millis(),
                        expires_at=None if new.expires_at is None else to_millis(new.expires_at),
                    )
                )
                for grant in new.grants:
                    _add_grant(connection, account_id, grant)
        except IntegrityError as error:
            raise AccountExists(f"{new.kind} already exists: {new.name}", name=new.name) from error
        return self.get(account_id)

    def get(self, account_id: str) -> Account:
        """Raises AccountNotFound."""
        account = self._fetch(select(tables.account).where(_account.id == account_id), {})
        if account is None:
            raise AccountNotFound(f"there is no key or user {account_id}", id=account_id)
        return account

    def key(self, digest: str) -> Account | None:
        """The key with this hash, unless revoked or expired."""
        return _if_valid(self._fetch(_KEY, {"hash": digest}))

    def user(self, name: str) -> Account | None:
        """The user with this name, unless revoked or expired."""
        return _if_valid(self._fetch(_USER, {"name": name}))

    def by_session(self, token_hash: str) -> Account | None:
        """The account of an unexpired session, unless revoked, expired, or with another key or password since."""
        return _if_valid(self._fetch(_SESSION, {"token_hash": token_hash, "now": now_millis()}))

    def list(self, kind: AccountKind, org_id: str | None = None) -> Sequence[Account]:
        """Oldest first; of all orgs if ``org_id`` is None."""
        query = select(tables.account).where(_account.kind == kind.value).order_by(_account.created_at, _account.id)
        if org_id is not None:
            query = query.where(_account.org_id == org_id)
        with self._database.read() as connection:
            return [_account_of(connection, row) for row in connection.execute(query).all()]

    def any_valid(self) -> bool:
        """Whether any account can authenticate."""
        valid = select(_account.id).where(
            _account.revoked_at.is_(None), or_(_account.expires_at.is_(None), _account.expires_at > now_millis())
        )
        with self._database.read() as connection:
            return connection.execute(valid.limit(1)).first() is not None

    def any_made(self) -> bool:
        """Whether a key has ever been created, or a user exists."""
        with self._database.read() as connection:
            return connection.execute(select(_account.id).limit(1)).first() is not None

    def revoke(self, account_id: str) -> Account:
        """Revoke a key; it stays in the list. Idempotent. Raises AccountNotFound."""
        with self._database.write() as connection:
            connection.execute(
                update(tables.account)
                .where(_account.id == account_id, _account.revoked_at.is_(None))
                .values(revoked_at=now_millis())
            )
        return self.get(account_id)

    def drop(self, account_id: str) -> None:
        """Delete a user and its grants, if it exists."""
        with self._database.write() as connection:
            connection.execute(delete(tables.account_grant).where(tables.account_grant.c.account_id == account_id))
            connection.execute(delete(tables.account).where(_account.id == account_id))

    def set_hash(self, account_id: str, digest: str, description: str | None = None) -> None:
        """Replace the hash and, unless None, the description."""
        values = {"hash": digest} if description is None else {"hash": digest, "description": description}
        with self._database.write() as connection:
            connection.execute(update(tables.account).where(_account.id == account_id).values(**values))

    def set_description(self, account_id: str, description: str) -> None:
        """Replace the description."""
        with self._database.write() as connection:
            connection.execute(
                update(tables.account).where(_account.id == account_id).values(description=description)
            )

    def grant(self, account_id: str, grant: Grant) -> None:
        """Add a grant. Idempotent."""
        with self._database.write() as connection:
            _add_grant(connection, account_id, grant)

    def withdraw(self, account_id: str, grant: Grant) -> bool:
        """Remove a grant; return whether it existed."""
        column = tables.account_grant.c
        with self._database.write() as connection:
            removed = connection.execute(
                delete(tables.account_grant).where(
                    column.account_id == account_id,
                    column.role == grant.role.value,
                    column.cluster_id == (grant.cluster_id or ""),
                    column.database == (grant.database or ""),
                )
            )
        return removed.rowcount > 0

    def _fetch(self, query: Any, values: Mapping[str, str | int]) -> Account | None:
        with self._database.read() as connection:
            row = connection.execute(query, values).one_or_none()
            return None if row is None else _account_of(connection, row)


def _if_valid(account: Account | None) -> Account | None:
    return account if account is not None and account.is_valid else None


def _add_grant(connection: Connection, account_id: str, grant: Grant) -> None:
    connection.execute(
        upsert_insert(connection.dialect.name, tables.account_grant)
        .values(
            account_id=account_id,
            role=grant.role.value,
            cluster_id=grant.cluster_id or "",
            database=grant.database or "",
        )
        .on_conflict_do_nothing()
    )


def _account_of(connection: Connection, row: Row[Any]) -> Account:
    grants = connection.execute(_GRANTS, {"id": row.id}).all()
    return Account(
        id=row.id,
        org_id=row.org_id,
        kind=AccountKind(row.kind),
        name=row.name,
        hash=row.hash,
        hint=row.hint,
        roots=tuple(row.roots),
        grants=tuple(
            Grant(role=Role(grant.role), cluster_id=grant.cluster_id or None, database=grant.database or None)
            for grant in grants
        ),
        created_at=from_millis(row.created_at),
        expires_at=_time(row.expires_at),
        revoked_at=_time(row.revoked_at),
        description=row.description,
    )


def _time(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)
