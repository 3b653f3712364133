"""Files of rejected rows, in a folder of the table that Lance doesn't know, one folder per job."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.tables import TableRoot

_FOLDER = "_rejects"


def save(store: TableRoot, table_id: str, job_id: int, name: str, content: bytes) -> None:
    with translating_errors(f"writing the rejected rows of job {job_id}", store.options):
        store.files(table_id).write(f"{_FOLDER}/{job_id}/{name}", content)


def names(store: TableRoot, table_id: str, job_id: int) -> list[str]:
    with translating_errors(f"listing the rejected rows of job {job_id}", store.options):
        paths = store.files(table_id).names(f"{_FOLDER}/{job_id}")
    return sorted(name for path in paths if not (name := path.rpartition("/")[2]).startswith("."))


def read(store: TableRoot, table_id: str, job_id: int, name: str) -> bytes | None:
    with translating_errors(f"reading the rejected rows of job {job_id}", store.options):
        return store.files(table_id).read(f"{_FOLDER}/{job_id}/{name}")


def jobs(store: TableRoot, table_id: str) -> list[int]:
    with translating_errors(f"listing the rejected rows of the table {table_id}", store.options):
        paths = store.files(table_id).names(_FOLDER)
    return sorted({int(path.split("/")[1]) for path in paths})


def delete(store: TableRoot, table_id: str, job_id: int, some: Sequence[str] | None) -> None:
    with translating_errors(f"deleting the rejected rows of job {job_id}", store.options):
        files = store.files(table_id)
        paths = (
            files.names(f"{_FOLDER}/{job_id}") if some is None else [f"{_FOLDER}/{job_id}/{name}" for name in some]
        )
        files.delete(paths)
