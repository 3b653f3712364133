"""Penstock: bulk import for vector collections.

::

    import penstock

    client = penstock.Client("http://127.0.0.1:19530")
    job = client.imports.create("docs", ["/data/docs.parquet"])
    client.imports.wait(job, progress=True)

``penstock.bulk_import``, ``get_import_progress`` and ``list_import_jobs`` are the calls of Zilliz Cloud v1; those of
Milvus v2 are in ``penstock.bulk_writer``. Names are loaded lazily, so that importing the package
(which every part of the server does) costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from penstock.sdk.client import Client, Hit
    from penstock.sdk.errors import ImportCallError, JobFailed, JobUnfinished, SdkError
    from penstock.sdk.jobs import ImportJob
    from penstock.sdk.v1_calls import bulk_import, get_import_progress, list_import_jobs

__all__ = [
    "Client",
    "Hit",
    "ImportCallError",
    "ImportJob",
    "JobFailed",
    "JobUnfinished",
    "SdkError",
    "__version__",
    "bulk_import",
    "get_import_progress",
    "list_import_jobs",
]

_HOMES = {
    "Client": "client",
    "Hit": "client",
    "ImportCallError": "errors",
    "ImportJob": "jobs",
    "JobFailed": "errors",
    "JobUnfinished": "errors",
    "SdkError": "errors",
    "bulk_import": "v1_calls",
    "get_import_progress": "v1_calls",
    "list_import_jobs": "v1_calls",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("penstock.version").package_version()
    if name in _HOMES:
        import_module("penstock_import").warn_of_collision()
        return getattr(import_module(f"penstock.sdk.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
