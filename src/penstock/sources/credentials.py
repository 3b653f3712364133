"""Settings of object stores and web servers: endpoint, region and credentials, with one set of names per scheme.

| scheme | names |
|---|---|
| ``s3`` | ``endpoint``, ``region``, ``addressing`` (``virtual``), ``access_key_id``, ``secret_access_key``,
``session_token`` |
| ``gs`` | ``endpoint``, ``service_account`` (a file), ``access_key_id`` and ``secret_access_key`` (HMAC keys),
``token`` |
| ``az`` | ``endpoint``, ``account``, ``account_key``, ``sas_token`` |
| ``https``, ``http`` | ``user``, ``password``, ``token``; ``networks`` (allowed ones), ``roots`` |

``anonymous`` (``"true"``) sends unsigned requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from penstock.errors import FileUnreadable

Settings = Mapping[str, str]

_ENVIRONMENT = {
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
}
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_NO_KEYS = frozenset({"endpoint", "region", "addressing", "account", "roots", "networks"})
"""Settings of the location, not credentials."""


def settings_from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Read S3 settings from the standard ``AWS_*`` variables."""
    settings = {
        setting: next((environment[name] for name in names if environment.get(name)), "")
        for setting, names in _ENVIRONMENT.items()
    }
    return {setting: value for setting, value in settings.items() if value}


def with_keys(scheme: str, settings: Settings, access_key: str, secret_key: str, token: str) -> dict[str, str]:
    """Replace the server's credentials by the request's, if it has any.

    Raises:
        FileUnreadable: they are malformed for that store.
    """
    if not (access_key or secret_key or token):
        return dict(settings)
    own = _OWN[scheme](access_key, secret_key, token)
    location = {name: value for name, value in settings.items() if name in _NO_KEYS}
    return location | {name: value for name, value in own.items() if value}


def _s3(access_key: str, secret_key: str, token: str) -> dict[str, str]:
    return {"access_key_id": access_key, "secret_access_key": secret_key, "session_token": token}


def _gs(access_key: str, secret_key: str, token: str) -> dict[str, str]:
    """HMAC keys, as in the cloud's import call for gs://, or an OAuth token."""
    if not secret_key and not token:
        # Without credentials the client would use the machine's own account, which is for import roots only.
        raise FileUnreadable("accessKey without secretKey. Pass both HMAC keys, or an OAuth token as token")
    return {"access_key_id": access_key, "secret_access_key": secret_key} if secret_key else {"token": token}


def _az(access_key: str, secret_key: str, token: str) -> dict[str, str]:
    """Account and account key, the key alone (Azure calls it access key), or a SAS token."""
    if (token or secret_key) and access_key and not _ACCOUNT.fullmatch(access_key):
        # The account becomes part of a host name.
        raise FileUnreadable(
            "accessKey is not the name of an Azure storage account (3 to 24 lowercase letters and digits)"
        )
    if token:
        return {"account": access_key, "sas_token": token}
    return {"account": access_key, "account_key": secret_key} if secret_key else {"account_key": access_key}


def _web(access_key: str, secret_key: str, token: str) -> dict[str, str]:
    return {"token": token} if token else {"user": access_key, "password": secret_key}


_OWN: Mapping[str, Callable[[str, str, str], dict[str, str]]] = {
    "s3": _s3,
    "gs": _gs,
    "az": _az,
    "https": _web,
    "http": _web,
}
