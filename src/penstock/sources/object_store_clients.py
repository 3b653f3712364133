"""Object store clients, one per bucket and set of credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from obstore.store import AzureStore, GCSStore, S3Store

from penstock.sources.credentials import Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSCredential, ObjectStore, RetryConfig, S3Config, S3Credential

_CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRY: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""Short, for brief transient errors. Longer ones are left to the scheduler's retry, which the job reports."""

_GOOGLE = "https://storage.googleapis.com"


def connect(scheme: str, bucket: str, settings: Settings) -> ObjectStore:
    """Return the cached client for a bucket. ``settings`` are those of :mod:`penstock.sources.credentials`.

    Args:
        bucket: for ``az``, ``container`` or ``container@account``.
    """
    return _connect(scheme, bucket, tuple(sorted(settings.items())))


@lru_cache(maxsize=16)
def _connect(scheme: str, bucket: str, settings: tuple[tuple[str, str], ...]) -> ObjectStore:
    return _MAKERS[scheme](bucket, dict(settings))


def _client(settings: Settings) -> ClientConfig:
    return {**_CLIENT, "allow_http": settings.get("endpoint", "").startswith("http://")}


def _s3(bucket: str, settings: Settings) -> ObjectStore:
    # Credentials come from a provider function: as settings they would be mixed with those of the environment, a
    # caller's keys with the server's session token.
    def keys() -> S3Credential:
        return {
            "access_key_id": settings.get("access_key_id", ""),
            "secret_access_key": settings.get("secret_access_key", ""),
            "token": settings.get("session_token") or None,
            "expires_at": None,
        }

    config = {name: settings[name] for name in ("endpoint", "region") if name in settings}
    config["disable_bulk_delete"] = "true"  # not all stores with this protocol know the requests for several objects
    if settings.get("addressing") == "virtual":
        config["virtual_hosted_style_request"] = "true"
        if "endpoint" in config:
            config["endpoint"] = config["endpoint"].replace("://", f"://{bucket}.", 1)
    if "anonymous" in settings:
        config["skip_signature"] = "true"
    has_keys = any(settings.get(name) for name in ("access_key_id", "secret_access_key", "session_token"))
    return S3Store(
        bucket,
        config=cast("S3Config", config),
        client_options=_client(settings),
        retry_config=_RETRY,
        credential_provider=keys if has_keys else None,
    )


def _gs(bucket: str, settings: Settings) -> ObjectStore:
    if "secret_access_key" in settings:
        # HMAC keys are for Google's S3-compatible protocol.
        keys = {name: settings[name] for name in ("access_key_id", "secret_access_key")}
        return _s3(bucket, {"endpoint": settings.get("endpoint", _GOOGLE), "region": "auto", **keys})

    def token() -> GCSCredential:
        return {"token": settings["token"], "expires_at": None}

    config: dict[str, Any] = {"base_url": settings["endpoint"]} if "endpoint" in settings else {}
    if "service_account" in settings:
        config["service_account"] = settings["service_account"]
    if "anonymous" in settings:
        config["skip_signature"] = True
    return GCSStore(
        bucket,
        config=cast(Any, config),
        client_options=_client(settings),
        retry_config=_RETRY,
        credential_provider=token if "token" in settings else None,
    )


def _az(bucket: str, settings: Settings) -> ObjectStore:
    container, _, account = bucket.partition("@")
    account = account or settings.get("account", "")
    config: dict[str, Any] = {"account_name": account}
    if "endpoint" in settings:
        config["endpoint"] = settings["endpoint"].replace("{account}", account)
    if "account_key" in settings:
        config |= {"account_key": settings["account_key"], "credential_type": "access_key"}
    elif "sas_token" in settings:
        config |= {"sas_key": settings["sas_token"].removeprefix("?"), "credential_type": "sas_token"}
    elif "anonymous" in settings:
        config["skip_signature"] = True
    return AzureStore(container, config=cast(Any, config), client_options=_client(settings), retry_config=_RETRY)


_MAKERS: Mapping[str, Callable[[str, Settings], ObjectStore]] = {"s3": _s3, "gs": _gs, "az": _az}
