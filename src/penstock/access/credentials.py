"""What a caller sends to say who it is: a key, or a user's name and password.

Taken from the ``Authorization`` header as the clients of Milvus and Zilliz Cloud send it: ``Bearer KEY``,
``Bearer USER:PASSWORD``, HTTP Basic, or either without the word ``Bearer``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field

from penstock.errors import Unauthenticated

__all__ = ["KeyCredentials", "UserCredentials", "digest_of", "new_key", "parse_credentials"]

KEY_PREFIX = "psk_"
HINT_LENGTH = len(KEY_PREFIX) + 6

_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{43}}\Z")
_WORD = re.compile(r"(bearer|basic)(\s+|\Z)", re.IGNORECASE)
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class KeyCredentials:
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserCredentials:
    name: str
    password: str = field(repr=False)


def parse_credentials(header: str) -> KeyCredentials | UserCredentials:
    """Raises Unauthenticated: nothing was sent, or nothing that anybody could have."""
    header = _text(header).strip()
    word = _WORD.match(header)
    text = header[word.end() :].strip() if word else header
    if not text:
        raise Unauthenticated("a key or user:password is wanted, and none was sent", kind="absent")
    if word and word[1].lower() == "basic":
        text = _decoded(text)
    name, colon, password = text.partition(":")
    if colon and name and len(text) <= _LONGEST:
        return UserCredentials(name, password)
    if _KEY.match(text):
        return KeyCredentials(text)
    raise Unauthenticated("the API key has not the form of one of this server's keys", kind="illegal")


def _text(header: str) -> str:
    """What was meant: headers are read as Latin-1, which some clients send, and others send UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthenticated("the Basic credentials are no base64 of user:password", kind="illegal") from error


def new_key() -> str:
    """A key with 256 bits of chance in it: no slow hash is needed to keep it from being guessed."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """What the catalog keeps of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
