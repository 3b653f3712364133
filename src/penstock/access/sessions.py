"""Sessions of the page: a key or a password is sent once, and a token stands for it until the session ends.

A session ends after its time, by a logout, when its key is revoked or its user dropped, and when the user's password
changes: within a second on every server that shares the catalog.
"""

from __future__ import annotations

from penstock.access.credentials import digest_of, new_session_token
from penstock.catalog.access.sessions import SessionRepository
from penstock.catalog.db.connection import now_millis
from penstock.domain.access import Caller


class SessionService:
    """Begin and end sessions. ``seconds`` is how long one lasts."""

    def __init__(self, sessions: SessionRepository, seconds: float) -> None:
        self._sessions = sessions
        self.seconds = seconds

    def begin(self, caller: Caller) -> str | None:
        """Begin a session of a caller and return its token; None where authentication is off, which needs none."""
        if caller.id is None:
            return None
        token = new_session_token()
        self._sessions.begin(digest_of(token), caller.id, now_millis() + int(self.seconds * 1000))
        return token

    def end(self, token: str) -> None:
        """End the session of a token, if there is one."""
        self._sessions.end(digest_of(token))
