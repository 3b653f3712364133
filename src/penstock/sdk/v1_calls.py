"""The import calls of Zilliz Cloud v1, as plain functions.

Each returns the ``requests.Response``, with the result in its ``json()["data"]``. An address without scheme means
https. Further keyword arguments go to ``requests``: ``timeout`` (seconds, default 20), ``verify``, ``cert``,
``proxies``, ``headers``. Each raises :class:`~penstock.sdk.errors.ImportCallError` when the call fails.
"""

from __future__ import annotations

from typing import Any

import requests

from penstock.sdk.http import exchange, full_url

__all__ = ["bulk_import", "get_import_progress", "list_import_jobs"]

_PATH = "/v1/vector/collections/import"


def bulk_import(
    url: str,
    api_key: str,
    object_url: str,
    access_key: str,
    secret_key: str,
    cluster_id: str,
    collection_name: str,
    **kwargs: Any,
) -> requests.Response:
    """Start an import; ``data`` is ``{"jobId": str}``.

    Args:
        url: ``controller.api.{region}.zillizcloud.com``, or the address of a Penstock server.
        api_key: an API key, or ``user:password``.
        object_url: one object, or a folder that ends in ``/``.
        access_key, secret_key: of the object store; ``""`` for public objects.
        kwargs: ``partition_name``, and what ``requests`` takes.
    """
    body = {
        "objectUrl": object_url,
        "accessKey": access_key,
        "secretKey": secret_key,
        "clusterId": cluster_id,
        "collectionName": collection_name,
    }
    if partition_name := kwargs.pop("partition_name", ""):
        body["partitionName"] = partition_name
    keys = (access_key, secret_key)
    return exchange("POST", full_url(url, _PATH), api_key=api_key, json=body, secrets=keys, **kwargs)[0]


def get_import_progress(url: str, api_key: str, job_id: str, cluster_id: str, **kwargs: Any) -> requests.Response:
    """Get a job's progress; ``data`` has ``readyPercentage`` (0 to 1), ``errorMessage``, ``details`` …"""
    query = {"jobId": job_id, "clusterId": cluster_id}
    return exchange("GET", full_url(url, f"{_PATH}/get"), api_key=api_key, params=query, **kwargs)[0]


def list_import_jobs(
    url: str, api_key: str, cluster_id: str, page_size: int, current_page: int, **kwargs: Any
) -> requests.Response:
    """List a page of a cluster's jobs, newest first; ``data``: ``tasks``, ``count``, ``currentPage``, ``pageSize``.

    Args:
        page_size: jobs on a page, 5 to 100.
        current_page: which page, from 1.
    """
    query = {"clusterId": cluster_id, "pageSize": page_size, "currentPage": current_page}
    return exchange("GET", full_url(url, f"{_PATH}/list"), api_key=api_key, params=query, **kwargs)[0]
