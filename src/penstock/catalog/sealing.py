"""Encryption at rest of what a caller entrusts to a job: the keys of an object store."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import orjson
from cryptography.fernet import Fernet, InvalidToken

from penstock.errors import StoreError

__all__ = ["Seal", "load_key"]


def load_key(path: Path) -> bytes:
    """The key in ``path``; made (mode 0600) when the file isn't there."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes().strip()
    with os.fdopen(handle, "wb") as file:
        key = Fernet.generate_key()
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


class Seal:
    """Turns small dictionaries into sealed bytes and back, and requests into fingerprints."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._fernet = Fernet(key)

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash: it tells whether two contents are the same, and nothing about them to who lacks the key."""
        return hmac.new(self._key, content, "sha256").hexdigest()

    def close(self, secret: dict[str, str]) -> bytes:
        return self._fernet.encrypt(orjson.dumps(secret))

    def open(self, sealed: bytes) -> dict[str, str]:
        """Raises StoreError when the bytes were sealed with another key."""
        try:
            secret: dict[str, str] = orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise StoreError(
                "the credentials of this job were encrypted with another key than the data folder has now. "
                "Put the key file back, or create the job again with fresh credentials."
            ) from error
        return secret
