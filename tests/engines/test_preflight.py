"""Conformance: whether a place can hold tables, and which it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from penstock.errors import StorageError, StorageUnavailable
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server, s3_server
from tests.support.tables import new_table


def test_a_store_names_its_tables_and_nothing_else(stored_engine: Engine) -> None:
    stored_engine.check()
    assert stored_engine.tables() == []
    ids = sorted(new_table(stored_engine).id for _ in range(2))
    stored_engine.check()
    assert stored_engine.tables() == ids
    stored_engine.drop(ids[0])
    assert stored_engine.tables() == ids[1:]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file is in the way")
    with pytest.raises(StorageError, match="while checking the store"):
        LanceEngine(str(tmp_path / "store")).check()


def test_a_store_that_has_vanished_is_not_made_anew(stored_engine: Engine, tmp_path: Path) -> None:
    """A folder that isn't mounted, an empty one, another prefix: none of the tables that there were is there."""
    one, other = (new_table(stored_engine).id for _ in range(2))
    stored_engine.drop(other)
    stored_engine.check(known=[one, other])
    stored_engine.drop(one)
    with pytest.raises(StorageError, match=r"has none of the 2 tables in the catalog\. Mount it"):
        stored_engine.check(known=[one, other])
    gone = LanceEngine(str(tmp_path / "unmounted"))
    with pytest.raises(StorageError, match="has none of the 1 tables"):
        gone.check(known=[one])
    with pytest.raises(StorageError, match="unmounted does not exist, found while creating the table"):
        new_table(gone)
    assert not (tmp_path / "unmounted").exists()


def test_a_bucket_that_is_missing(s3: S3Server) -> None:
    with pytest.raises(
        StorageError, match=r"s3://no-such-bucket/x does not exist: its bucket is missing\. Create the bucket"
    ):
        LanceEngine("s3://no-such-bucket/x", s3.settings).check()


def test_a_bucket_that_refuses_access() -> None:
    with s3_server(open_calls=1) as strict:
        url = f"s3://{strict.make_bucket('closed')}/x"
        with pytest.raises(
            StorageError, match=r"s3://closed/x denies access\. Check PENSTOCK_STORAGE_ACCESS_KEY"
        ) as raised:
            LanceEngine(url, strict.settings).check()
    assert not any(secret in str(raised.value) for secret in ("server-key", "server-secret"))


def test_a_store_that_cannot_be_reached() -> None:
    with pytest.raises(StorageUnavailable, match="cannot be reached while checking the store s3://docs/x"):
        LanceEngine(
            "s3://docs/x", {"endpoint": "http://127.0.0.1:1", "region": "r", "skip_signature": "true"}
        ).check()


def test_a_store_without_conditional_writes(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    with faulty_store(s3.endpoint, Faults(ignored=frozenset({"if-none-match"})), seed=1) as forgetful:
        engine = LanceEngine(f"s3://{bucket}/x", s3.settings | {"endpoint": forgetful.url})
        with pytest.raises(StorageError, match="does not support conditional writes"):
            engine.check()
    assert s3.keys(bucket) == []
