"""The import calls of Milvus and Zilliz Cloud v2, as plain functions.

Names, order and defaults of the parameters are those of pymilvus 3.0.2, so that ``from penstock.bulk_writer import
bulk_import`` can stand in for ``from pymilvus.bulk_writer import bulk_import``. Each returns the
``requests.Response``; its result is in ``json()["data"]``.

Shared parameters:
    url: the server's address; without scheme it means https.
    cluster_id: a Zilliz cluster; with it lists come in pages.
    project_id, region_id: a Zilliz project, instead of a cluster.
    api_key: an API key or ``user:password``; empty for a server without authentication.
    db_name: the database, ``""`` for the default one; also sent as header ``DB-Name``.
    verify: whether to check the server's certificate, or a file of trusted issuers.
    cert: a client certificate file, or ``(certificate, key)``.
    kwargs: further arguments of ``requests``: ``timeout`` (seconds, default 20), ``proxies``, ``headers``.

Each raises :class:`~penstock.sdk.errors.ImportCallError` when the call fails.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from penstock.domain.import_options import parse_separator, unknown_option
from penstock.sdk.http import exchange, full_url

__all__ = [
    "abort_import",
    "bulk_import",
    "commit_import",
    "get_import_progress",
    "list_import_jobs",
    "retry_import",
    "revert_import",
]

_PATH = "/v2/vectordb/jobs/import"


def bulk_import(
    url: str,
    collection_name: str,
    db_name: str = "",
    files: Sequence[Sequence[str]] | None = None,
    object_url: str = "",
    object_urls: Sequence[Sequence[str]] | None = None,
    cluster_id: str = "",
    project_id: str = "",
    region_id: str = "",
    api_key: str = "",
    access_key: str = "",
    secret_key: str = "",
    token: str = "",
    volume_name: str = "",
    data_paths: Sequence[Sequence[str]] | None = None,
    verify: bool | str | None = True,
    cert: str | tuple[str, str] | None = None,
    **kwargs: Any,
) -> requests.Response:
    """Start an import; ``data`` is ``{"jobId": str}``.

    Exactly one source is given: ``files`` (which the server can reach), ``object_url`` or ``object_urls`` (with
    ``access_key``, ``secret_key`` and, for short-lived ones, ``token``), or ``volume_name`` with ``data_paths``.
    An outer list holds inputs that are imported in parallel; an inner list is one file, or the set of ``.npy`` files
    that make up the columns of the same rows.

    Args:
        kwargs: ``partition_name`` (str), ``options`` (``timeout``, ``sep``, ``nullkey``, ``auto_commit`` …; numbers
            and booleans are sent as the strings that servers take), and what ``requests`` takes.
    """
    body: dict[str, Any] = {
        "collectionName": collection_name,
        "dbName": db_name,
        "partitionName": kwargs.pop("partition_name", ""),
        "files": files,
        "objectUrl": object_url,
        "objectUrls": object_urls,
        "clusterId": cluster_id,
        "projectId": project_id,
        "regionId": region_id,
        "accessKey": access_key,
        "secretKey": secret_key,
        "token": token,
        "volumeName": volume_name,
        "dataPaths": data_paths,
        "options": option_strings(kwargs.pop("options", None) or {}),
    }
    secrets = (access_key, secret_key, token)
    return _post("create", url, api_key, db_name, body, verify=verify, cert=cert, secrets=secrets, **kwargs)


def get_import_progress(
    url: str,
    job_id: str,
    cluster_id: str = "",
    project_id: str = "",
    region_id: str = "",
    api_key: str = "",
    db_name: str = "",
    verify: bool | str | None = True,
    cert: str | tuple[str, str] | None = None,
    **kwargs: Any,
) -> requests.Response:
    """Get a job's progress; ``data`` has ``state``, ``progress`` (0 to 100), ``reason`` of failure, ``details`` …"""
    body = _job(job_id, cluster_id, project_id, region_id)
    return _post("describe", url, api_key, db_name, body, verify=verify, cert=cert, **kwargs)


def list_import_jobs(
    url: str,
    collection_name: str = "",
    db_name: str = "",
    cluster_id: str = "",
    project_id: str = "",
    region_id: str = "",
    api_key: str = "",
    page_size: int = 10,
    current_page: int = 1,
    verify: bool | str | None = True,
    cert: str | tuple[str, str] | None = None,
    **kwargs: Any,
) -> requests.Response:
    """List the jobs, of one collection if named; ``data`` has ``records``.

    Without ``cluster_id`` and ``project_id`` all jobs that a Milvus server shows are listed at once; with one of them
    ``page_size`` (1 to 100) of them, those of page ``current_page`` (from 1), and their ``count``.
    """
    body = {
        "collectionName": collection_name,
        "dbName": db_name,
        "clusterId": cluster_id,
        "projectId": project_id,
        "regionId": region_id,
        "pageSize": page_size,
        "currentPage": current_page,
    }
    return _post("list", url, api_key, db_name, body, verify=verify, cert=cert, **kwargs)


def commit_import(
    url: str,
    job_id: str,
    cluster_id: str = "",
    project_id: str = "",
    region_id: str = "",
    api_key: str = "",
    db_name: str = "",
    verify: bool | str | None = True,
    cert: str | tuple[str, str] | None = None,
    **kwargs: Any,
) -> requests.Response:
    """Publish the rows of a job that was created with option ``auto_commit`` false and is ``Uncommitted``."""
    body = _job(job_id, cluster_id, project_id, region_id)
    return _post("commit", url, api_key, db_name, body, verify=verify, cert=cert, **kwargs)


def abort_import(
    url: str,
    job_id: str,
    cluster_id: str = "",
    project_id: str = "",
    region_id: str = "",
    api_key: str = "",
    db_name: str = "",
    verify: bool | str | None = True,
    cert: str | tuple[str, str] | None = None,
    **kwargs: Any,
) -> requests.Response:
    """End a job that isn't committed yet; none of its rows become visible."""
    body = _job(job_id, cluster_id, project_id, region_id)
    return _post("abort", url, api_key, db_name, body, verify=verify, cert=cert, **kwargs)


def retry_import(
    url: str,
    job_id: str,
    cluster_id: str = "",
    project_id: str = "",
    region_id: str = "",
    api_key: str = "",
    db_name: str = "",
    access_key: str = "",
    secret_key: str = "",
    token: str = "",
    verify: bool | str | None = True,
    cert: str | tuple[str, str] | None = None,
    **kwargs: Any,
) -> requests.Response:
    """Resume a ``Failed`` job under its id, with what is missing of it. Only Penstock has this call.

    A job created with credentials of an object store needs them again: a server deletes them when a job ends.
    """
    secrets = (access_key, secret_key, token)
    keys = {"accessKey": access_key, "secretKey": secret_key, "token": token}
    body = _job(job_id, cluster_id, project_id, region_id) | {name: key for name, key in keys.items() if key}
    return _post("retry", url, api_key, db_name, body, verify=verify, cert=cert, secrets=secrets, **kwargs)


def revert_import(
    url: str,
    job_id: str,
    cluster_id: str = "",
    project_id: str = "",
    region_id: str = "",
    api_key: str = "",
    db_name: str = "",
    verify: bool | str | None = True,
    cert: str | tuple[str, str] | None = None,
    **kwargs: Any,
) -> requests.Response:
    """Remove the rows of a ``Completed`` job, and bring back those that it replaced. Only Penstock has this call."""
    body = _job(job_id, cluster_id, project_id, region_id)
    return _post("revert", url, api_key, db_name, body, verify=verify, cert=cert, **kwargs)


def option_strings(options: Mapping[str, Any]) -> dict[str, str]:
    """Convert import options to strings, the only type that servers take; lists and objects to their JSON.

    One that is None is left out.
    """
    return {name: _option_string(value) for name, value in options.items() if value is not None}


def _option_string(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def checked_options(options: Mapping[str, str]) -> dict[str, str]:
    """Check options, and decode a separator to its character.

    Raises:
        ValueError: an option is misspelt, or the separator is not one character.
    """
    for name in options:
        if text := unknown_option(name):
            raise ValueError(text)
    if not options.get("sep"):
        return dict(options)
    separator = parse_separator(options["sep"])
    if len(separator) != 1:
        raise ValueError(f"option 'sep' is one character, or its escape such as \\t, not {separator[:40]!r}")
    return {**options, "sep": separator}


def _job(job_id: str, cluster_id: str, project_id: str, region_id: str) -> dict[str, str]:
    return {"jobId": str(job_id), "clusterId": cluster_id, "projectId": project_id, "regionId": region_id}


def _post(
    action: str, url: str, api_key: str, database: str, body: dict[str, Any], **options: Any
) -> requests.Response:
    target = full_url(url, f"{_PATH}/{action}")
    return exchange("POST", target, api_key=api_key, database=database, json=body, **options)[0]
