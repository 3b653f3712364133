"""Listen in a thread for notifications of other processes' changes to the catalog (PostgreSQL's LISTEN).

Correctness doesn't depend on it: listeners also poll, since an expiring lease sends no notification.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from penstock.catalog.db.connection import CHANNEL, CatalogDatabase

log = structlog.get_logger(__name__)

_TICK = 0.5
_RECONNECT_SECONDS = 3.0


class NotificationListener:
    """Call ``callback`` with the payload of each notification; on SQLite there are no other processes.

    After each connect it is called with "": notifications may have been missed before. An error of it is logged.
    """

    def __init__(self, database: CatalogDatabase, callback: Callable[[str], None], channel: str = CHANNEL) -> None:
        self._channel = channel
        self._database = database
        self._callback = callback
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="notifications", daemon=True)

    def start(self) -> None:
        """Start to listen, unless it does. Raises RuntimeError: the system is out of threads."""
        if self._database.is_shared and self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        import psycopg

        while not self._stop.is_set():
            try:
                self._listen()
            except (psycopg.Error, SQLAlchemyError) as error:
                log.warning(
                    "notifications.disconnected", catalog=self._database.where, error=" ".join(str(error).split())
                )
                self._stop.wait(_RECONNECT_SECONDS)
            except Exception:
                # Of the callback: without this thread nobody would be called any more.
                log.exception("notifications.callback_failed", channel=self._channel)
                self._stop.wait(_RECONNECT_SECONDS)

    def _listen(self) -> None:
        pooled = self._database.engine.raw_connection()
        pooled.detach()
        connection: Any = pooled.dbapi_connection
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {self._channel}")
            # Changes before this moment sent no notification to this connection.
            self._callback("")
            while not self._stop.is_set():
                for notification in connection.notifies(timeout=_TICK, stop_after=1):
                    self._callback(notification.payload)
        finally:
            connection.close()
