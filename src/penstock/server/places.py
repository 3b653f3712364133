"""Where a server's settings say that its things are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.engines.lance import LanceEngine
from penstock.settings import Settings

__all__ = ["catalog_url", "engine_of", "key_file", "object_store"]


def catalog_url(settings: Settings) -> str:
    """The catalog's, as SQLAlchemy writes it."""
    return settings.catalog or f"sqlite:///{settings.data_dir / 'catalog.db'}"


def engine_of(settings: Settings) -> LanceEngine:
    """The engine on the server's store."""
    return LanceEngine(str(settings.data_dir.resolve() / "collections"))


def key_file(settings: Settings) -> Path:
    """The file with the key that seals what callers entrust to jobs."""
    return settings.secret_key_file or settings.data_dir / "secret.key"


def object_store(settings: Settings) -> Mapping[str, str]:
    """The server's own settings of the object store that import roots are in; empty values left out."""
    secrets = {
        "access_key_id": settings.s3_access_key,
        "secret_access_key": settings.s3_secret_key,
        "session_token": settings.s3_session_token,
    }
    found = {"endpoint": settings.s3_endpoint or "", "region": settings.s3_region or ""}
    found |= {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
    return {name: value for name, value in found.items() if value}
