"""Sessions of the page in the catalog: which account a browser has logged in with, until when."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from penstock.catalog.db import tables
from penstock.catalog.db.connection import CatalogDatabase, now_millis

_session = tables.web_session.c


class SessionRepository:
    """Begin and end sessions; :meth:`AccountRepository.by_session` looks one up."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def begin(self, token_hash: str, account_id: str, expires_at: int) -> None:
        """Store a session of an account until ``expires_at``, milliseconds since 1970; delete the expired ones."""
        now = now_millis()
        account = tables.account.c
        row = select(account.hash).where(account.id == account_id).scalar_subquery()
        with self._database.write() as connection:
            connection.execute(delete(tables.web_session).where(_session.expires_at <= now))
            connection.execute(
                insert(tables.web_session).values(
                    token_hash=token_hash,
                    account_id=account_id,
                    account_hash=row,
                    created_at=now,
                    expires_at=expires_at,
                )
            )

    def end(self, token_hash: str) -> None:
        """Delete a session, if it exists."""
        with self._database.write() as connection:
            connection.execute(delete(tables.web_session).where(_session.token_hash == token_hash))
