"""Failed logins, sent to the other servers of a catalog as notifications, so that all count together.

Nothing is stored: a server that isn't connected at the time misses one, and counts the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import orjson
import structlog
from sqlalchemy import func, select

from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.db.notifications import NotificationListener

log = structlog.get_logger(__name__)

LOGIN_CHANNEL = "penstock_login"
"""The channel of failed logins, whose payload is the sender, the address, and the user's keyed hash."""


class FailedLogins:
    """Sends and receives failed logins. On SQLite there are no other servers, and nothing is sent."""

    def __init__(self, database: CatalogDatabase, encryptor: Encryptor) -> None:
        self._database = database
        self._encryptor = encryptor
        self._sender = secrets.token_hex(8)

    def user_key(self, name: str) -> str:
        """A keyed hash of a user's name, the same on all servers: people type passwords into the wrong field."""
        return self._encryptor.fingerprint(f"login:{name}".encode(errors="surrogatepass"))

    def send(self, address: str, user_key: str) -> None:
        """Send a failed login to the other servers. Raises CatalogUnavailable."""
        if self._database.is_shared:
            payload = orjson.dumps([self._sender, address, user_key]).decode()
            with self._database.write() as connection:
                connection.execute(select(func.pg_notify(LOGIN_CHANNEL, payload)))

    def listener(self, callback: Callable[[str, str], None]) -> NotificationListener:
        """A listener, not yet started, that calls ``callback`` with address and user key of others' failed logins."""

        def received(payload: str) -> None:
            if not payload:  # of the connect itself
                return
            try:
                sender, address, user_key = orjson.loads(payload)
            except (TypeError, ValueError) as error:
                log.warning("failed_login.not_understood", error=str(error))
                return
            if sender != self._sender:
                callback(str(address), str(user_key))

        return NotificationListener(self._database, received, LOGIN_CHANNEL)
