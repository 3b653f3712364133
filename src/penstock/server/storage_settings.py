"""Locations and credentials of catalog, key, store and import roots, from a server's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from penstock.catalog.db.dialects import parse_catalog_url
from penstock.catalog.db.encryption import check_key, load_key
from penstock.errors import InvalidParameter
from penstock.settings import Settings


def catalog_file(settings: Settings) -> Path:
    """The SQLite catalog in the data dir, used where no other is set."""
    return settings.data_dir / "catalog.db"


def catalog_url(settings: Settings) -> str:
    """The catalog's SQLAlchemy URL."""
    return settings.catalog_url or f"sqlite:///{catalog_file(settings)}"


def upload_folder(settings: Settings) -> tuple[Path | None, str]:
    """The folder of uploads; or None, and why this server takes none, and what to do."""
    if not settings.uploads:
        return None, "uploads are turned off on this server (uploads). Copy the file below an import root"
    if settings.upload_dir is not None:
        return settings.upload_dir.resolve(), ""
    is_shared = parse_catalog_url(catalog_url(settings)).get_backend_name() == "postgresql"
    if is_shared or settings.runner == "ray":
        return None, (
            "this server shares its work with others, which do not reach its disk. Set --upload-dir to a folder that "
            "all of them share, the same on each, or copy the file below an import root, such as s3://bucket/prefix"
        )
    return (settings.data_dir / "uploads").resolve(), ""


def key_file(settings: Settings) -> Path:
    """The file with the encryption key for the credentials of jobs."""
    return settings.encryption_key_file or settings.data_dir / "secret.key"


def encryption_key(settings: Settings) -> bytes:
    """The encryption key for the credentials of jobs: from the environment, or from its file, made if missing.

    Raises:
        InvalidParameter: the environment's is not a key.
        CatalogError: as :func:`load_key`.
    """
    if settings.encryption_key is None:
        return load_key(key_file(settings))
    try:
        return check_key(settings.encryption_key.get_secret_value().encode())
    except ValueError as error:
        raise InvalidParameter(
            "PENSTOCK_ENCRYPTION_KEY is not a key: it must be 32 bytes in URL-safe base64. If it is unset, a key "
            "is generated"
        ) from error


def table_store(settings: Settings) -> Mapping[str, str]:
    """The store's S3 options. Unset ones default to those of import roots; the keys only all together."""
    secrets = (settings.storage_access_key, settings.storage_secret_key, settings.storage_session_token)
    if settings.storage_access_key is None:
        secrets = (settings.s3_access_key, settings.s3_secret_key, settings.s3_session_token)
    return _s3(
        settings.storage_endpoint or settings.s3_endpoint, settings.storage_region or settings.s3_region, *secrets
    )


def source_stores(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """The server's own options and credentials for import roots, by scheme (``penstock.sources.credentials``)."""
    secrets = (settings.s3_access_key, settings.s3_secret_key, settings.s3_session_token)
    s3 = {
        **_s3(settings.s3_endpoint, settings.s3_region, *secrets),
        "addressing": "virtual" if settings.s3_virtual_hosts else "",
        "anonymous": "true" if settings.s3_anonymous else "",
    }
    gs = {
        "endpoint": settings.gcs_endpoint or "",
        "service_account": str(settings.gcs_service_account or ""),
        "anonymous": "true" if settings.gcs_anonymous else "",
    }
    az = {
        "endpoint": settings.azure_endpoint or "",
        "account": settings.azure_account or "",
        "account_key": settings.azure_key.get_secret_value() if settings.azure_key else "",
        "sas_token": settings.azure_sas_token.get_secret_value() if settings.azure_sas_token else "",
        "anonymous": "true" if settings.azure_anonymous else "",
    }
    web = {"networks": ",".join(settings.allow_private_networks)}
    return {
        scheme: {name: value for name, value in options.items() if value}
        for scheme, options in (("s3", s3), ("gs", gs), ("az", az), ("https", web), ("http", web))
    }


def _s3(
    endpoint: str | None,
    region: str | None,
    access_key: SecretStr | None,
    secret_key: SecretStr | None,
    session_token: SecretStr | None,
) -> Mapping[str, str]:
    secrets = {"access_key_id": access_key, "secret_access_key": secret_key, "session_token": session_token}
    options = {"endpoint": endpoint or "", "region": region or ""}
    options |= {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
    return {name: value for name, value in options.items() if value}
