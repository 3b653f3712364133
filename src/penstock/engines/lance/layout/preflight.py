"""Check that a store can hold tables, and list its tables."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from penstock.engines.lance.layout.errors import translating_errors
from penstock.engines.lance.layout.files import object_store
from penstock.engines.lance.layout.tables import TableRoot
from penstock.errors import StorageError

_DOING = "checking the store"
_TABLE = ".lance"


def check(store: TableRoot, known: Sequence[str] = ()) -> None:
    """Write a small file and delete it; in an object store, also check that a second writer of it is refused.

    Every commit relies on that: the file of a new version is created only if it doesn't exist yet. Of ``known``
    tables at least one must be there: a folder that isn't mounted is neither created nor written to.
    """
    with translating_errors(f"{_DOING} {store.root}", store.options):
        if store.is_local:
            _check_known_tables(store, known)
            _check_folder(Path(store.root))
        else:
            _check_objects(store)
            _check_known_tables(store, known)


def _check_known_tables(store: TableRoot, known: Sequence[str]) -> None:
    if known and not set(known) & set(tables(store)):
        raise StorageError(
            f"The store {store.root} has none of the {len(known):,} tables in the catalog. Mount it, restore it "
            "from a backup, or set the right one (--storage-url, --data-dir); if it was deleted on purpose, "
            "start with a new data dir. Nothing was changed",
            store=store.root,
        )


def _check_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / _probe_name()
    try:
        with probe.open("xb") as file:
            file.write(b"penstock")
            file.flush()
            os.fsync(file.fileno())
    finally:
        probe.unlink(missing_ok=True)


def _check_objects(store: TableRoot) -> None:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

    client = object_store(store.root, store.options, deletes_singly=True)
    name = _probe_name()
    try:
        for content in (b"first", b"second"):
            obstore.put(client, name, content, mode="create", use_multipart=False)
    except AlreadyExistsError:
        obstore.delete(client, name)
        return
    except FileNotFoundError:
        raise StorageError(
            f"The store {store.root} does not exist: its bucket is missing. Create the bucket, or correct "
            "--storage-url and --storage-endpoint",
            store=store.root,
        ) from None
    except (PermissionDeniedError, UnauthenticatedError):  # their text holds the request
        raise StorageError(
            f"The store {store.root} denies access. Check PENSTOCK_STORAGE_ACCESS_KEY and "
            "PENSTOCK_STORAGE_SECRET_KEY "
            "(or those of s3_*), and their permissions to read, write, list and delete there",
            store=store.root,
        ) from None
    except BaseError as error:
        if "501 Not Implemented" not in str(error):
            raise
    else:
        obstore.delete(client, name)
    raise StorageError(
        f"The store {store.root} does not support conditional writes (If-None-Match), so two servers could overwrite "
        "each other's commits. Use one that does, such as Amazon S3, MinIO or Cloudflare R2",
        store=store.root,
    )


def _probe_name() -> str:
    return f".check-{uuid.uuid4().hex}"


def tables(store: TableRoot) -> list[str]:
    """Ids of all tables, also of those half created or half dropped."""
    with translating_errors(f"listing the store {store.root}", store.options):
        if store.is_local:
            names = [path.name for path in Path(store.root).glob(f"*{_TABLE}*")]
        else:
            import obstore

            listed = obstore.list_with_delimiter(object_store(store.root, store.options))
            names = [prefix.rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"]]
    return sorted({name.partition(_TABLE)[0] for name in names if _TABLE in name})
