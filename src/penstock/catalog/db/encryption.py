"""Encryption at rest (Fernet) of the credentials of jobs and exports, and of the secrets of webhooks."""

from __future__ import annotations

import hmac
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import orjson
from cryptography.fernet import Fernet, InvalidToken

from penstock.errors import CatalogError

_KEY_ID_TEXT = b"which key this is"
_KEY_ID_LENGTH = 16


def load_key(path: Path) -> bytes:
    """Load the encryption key in ``path``; a missing file is created (mode 0600). Safe for concurrent processes.

    Raises:
        CatalogError: the file can't be read or created, or contains no key.
    """
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes().strip()
    except OSError as error:
        raise CatalogError(
            f"the key file {path} cannot be used: {error.strerror}. Set another with --encryption-key-file",
            file=str(path),
        ) from error
    try:
        check_key(key)
    except ValueError as error:
        raise CatalogError(
            f"the file {path} has no key of 32 bytes in URL-safe base64. Restore the right file, or "
            "remove it if no unfinished job has its own credentials: then a new key is generated",
            file=str(path),
        ) from error
    return key


def check_key(key: bytes) -> bytes:
    """Validate a key and return it. Raises ValueError: it isn't 32 bytes in URL-safe base64."""
    Fernet(key)
    return key


def _make_key(path: Path) -> None:
    """Write a new key to a temporary file and link it: no reader sees half a key, and the first of several stays."""
    handle, fresh = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        os.unlink(fresh)


def same_key_fingerprint(fingerprint: str, other: str) -> bool:
    """Whether two fingerprints were made with the same key, so that they can be compared."""
    return fingerprint[:_KEY_ID_LENGTH] == other[:_KEY_ID_LENGTH]


class Encryptor:
    """Encrypt and decrypt small dictionaries, and compute fingerprints of requests."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._fernet = Fernet(key)

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash (HMAC): shows whether two contents are equal, and reveals nothing else without the key."""
        return f"{self._hash(_KEY_ID_TEXT)[:_KEY_ID_LENGTH]}{self._hash(content)}"

    def _hash(self, content: bytes) -> str:
        return hmac.new(self._key, content, "sha256").hexdigest()

    def encrypt(self, secret: dict[str, str]) -> bytes:
        """Encrypt a dictionary."""
        return self._fernet.encrypt(orjson.dumps(secret))

    def decrypt(self, sealed: bytes) -> dict[str, str]:
        """Decrypt a dictionary. Raises CatalogError if it was encrypted with another key."""
        try:
            secret: dict[str, str] = orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise CatalogError(
                "the credentials of this job were encrypted with a different key. "
                "Use the same --encryption-key-file for all servers of a catalog, restore the key file, or create "
                "the job again with fresh credentials."
            ) from error
        return secret
