"""Parse a caller's credentials: an API key, a user's name and password, or a session of the page.

The ``Authorization`` header is parsed as the clients of Milvus and Zilliz Cloud send it: ``Bearer KEY``,
``Bearer USER:PASSWORD``, HTTP Basic, or either without the word ``Bearer``. A browser that has logged in to the page
sends the token of its session in a cookie, which the server turns into ``Session TOKEN``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field

from penstock.errors import Unauthenticated

KEY_PREFIX = "psk_"
HINT_LENGTH = len(KEY_PREFIX) + 6

SESSION_PREFIX = "pss_"

_SESSION = re.compile(rf"session\s+({SESSION_PREFIX}[A-Za-z0-9_-]{{43}})\Z", re.IGNORECASE)
_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{43}}\Z")
_SCHEME = re.compile(r"(bearer|basic)(\s+|\Z)", re.IGNORECASE)
_MAX_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class KeyCredentials:
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserCredentials:
    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    token: str = field(repr=False)


def parse_credentials(header: str) -> KeyCredentials | UserCredentials | SessionCredentials:
    """Parse an ``Authorization`` header. Raises Unauthenticated: the credentials are absent or malformed."""
    header = _as_utf8(header).strip()
    if session := _SESSION.match(header):
        return SessionCredentials(session[1])
    scheme = _SCHEME.match(header)
    text = header[scheme.end() :].strip() if scheme else header
    if not text:
        raise Unauthenticated("no credentials were sent; a key or user:password is required", kind="absent")
    if scheme and scheme[1].lower() == "basic":
        text = _decode_basic(text)
    name, colon, password = text.partition(":")
    if colon and name and len(text) <= _MAX_LENGTH:
        return UserCredentials(name, password)
    if _KEY.match(text):
        return KeyCredentials(text)
    raise Unauthenticated("the API key is malformed", kind="illegal")


def _as_utf8(header: str) -> str:
    """Decode a header as UTF-8 if possible: servers read headers as Latin-1, but some clients send UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _decode_basic(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthenticated("the Basic credentials are not base64 of user:password", kind="illegal") from error


def new_key() -> str:
    """Generate an API key with 256 random bits: it can't be guessed, so it needs no slow hash."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def new_session_token() -> str:
    """Generate the token of a session, as random as an API key."""
    return SESSION_PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """The hash of an API key, or of a session's token, that the catalog stores."""
    return hashlib.sha256(key.encode()).hexdigest()
