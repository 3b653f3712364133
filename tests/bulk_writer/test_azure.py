"""Files in an Azure container."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from penstock.bulk_writer import RemoteBulkWriter
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, StorageError, StorageUnavailable
from tests.support.azurite_server import ACCOUNT, KEY, AzuriteServer, azurite_server
from tests.support.faulty_store import Faults, FaultyStore, faulty_store

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="Azurite is installed with npm"),
]

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=256),
    )
)


def columns(rows: int) -> dict[str, Any]:
    return {"id": np.arange(rows), "vector": np.random.default_rng(1).random((rows, 256), np.float32)}


@pytest.fixture(scope="module")
def azurite() -> Iterator[AzuriteServer]:
    with azurite_server() as server:
        yield server


def client(azurite: AzuriteServer) -> BlobServiceClient:
    from azure.storage.blob import BlobServiceClient  # `make test` collects these tests only

    return BlobServiceClient.from_connection_string(azurite.connection_string)


@pytest.mark.parametrize("block", [8 << 20, 1 << 20], ids=["one call", "in blocks"])
def test_files_are_uploaded(azurite: AzuriteServer, tmp_path: Path, block: int) -> None:
    name = f"blocks-{block}"
    client(azurite).create_container(name)
    param = RemoteBulkWriter.AzureConnectParam(name, azurite.connection_string, upload_chunk_size=block)
    with RemoteBulkWriter(SCHEMA, "/import", param, local_path=tmp_path / "local") as writer:
        writer.append_batch(columns(4_000))
    assert writer.batch_files == [[f"import/{writer.uuid}/1.parquet"]]
    blob = client(azurite).get_blob_client(name, writer.batch_files[0][0])
    assert blob.get_blob_properties().content_settings.content_md5 is not None
    (tmp_path / "1.parquet").write_bytes(blob.download_blob().readall())
    assert pq.read_table(tmp_path / "1.parquet").num_rows == 4_000
    assert list((tmp_path / "local").iterdir()) == []


def test_account_url_and_key(azurite: AzuriteServer, tmp_path: Path) -> None:
    client(azurite).create_container("by-key")
    param = RemoteBulkWriter.AzureConnectParam(
        "by-key", "", azurite.url, {"account_name": ACCOUNT, "account_key": KEY}
    )
    with RemoteBulkWriter(SCHEMA, "x", param, local_path=tmp_path) as writer:
        writer.append_batch(columns(1))
    assert len(writer.batch_files) == 1


def test_a_missing_container_is_told(azurite: AzuriteServer, tmp_path: Path) -> None:
    param = RemoteBulkWriter.AzureConnectParam("made-later", azurite.connection_string)
    with RemoteBulkWriter(SCHEMA, "x", param, local_path=tmp_path) as writer:
        writer.append_batch(columns(1))
        with pytest.raises(StorageError, match=r"container 'made-later' .* does not exist"):
            writer.commit()
        client(azurite).create_container("made-later")
    assert len(writer.batch_files) == 1


def test_a_wrong_key_is_told(azurite: AzuriteServer, tmp_path: Path) -> None:
    wrong = base64.b64encode(b"wrong key").decode()
    param = RemoteBulkWriter.AzureConnectParam("any", azurite.connection_string.replace(KEY, wrong))
    writer = RemoteBulkWriter(SCHEMA, "x", param, local_path=tmp_path)
    writer.append_batch(columns(1))
    with pytest.raises(StorageError, match="access denied"):
        writer.commit()


def through(proxy: FaultyStore, azurite: AzuriteServer) -> str:
    return azurite.connection_string.replace(azurite.url.rpartition("/")[0], proxy.url)


def test_a_failed_upload_goes_on_with_the_blocks_that_are_missing(
    azurite: AzuriteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.bulk_writer.uploads_azure._RETRY", {"retry_total": 0})
    client(azurite).create_container("resumed")
    # The question what is there and two of the five blocks get through.
    with faulty_store(azurite.url.rpartition("/")[0], Faults(refuse=1.0, spared=3), seed=1) as proxy:
        param = RemoteBulkWriter.AzureConnectParam("resumed", through(proxy, azurite), upload_chunk_size=1 << 20)
        with RemoteBulkWriter(SCHEMA, "x", param, local_path=tmp_path) as writer:
            writer.append_batch(columns(4_500))
            with pytest.raises(StorageUnavailable, match="status 503"):
                writer.commit()
            proxy.faults = Faults()
            writer.commit()
        sent = [each for each in proxy.passed if "comp=block&" in each]
        assert len(sent) == len(set(sent)) == 5
    blob = client(azurite).get_blob_client("resumed", writer.batch_files[0][0])
    (tmp_path / "1.parquet").write_bytes(blob.download_blob().readall())
    assert pq.read_table(tmp_path / "1.parquet").num_rows == 4_500


@pytest.mark.parametrize("block", [8 << 20, 1 << 20], ids=["one call", "in blocks"])
def test_a_file_that_was_spoilt_on_the_way_is_not_taken_for_whole(
    azurite: AzuriteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("penstock.bulk_writer.uploads_azure._RETRY", {"retry_total": 0})
    name = f"spoilt-{block}"
    client(azurite).create_container(name)
    with faulty_store(azurite.url.rpartition("/")[0], Faults(spoil=1.0), seed=1) as proxy:
        param = RemoteBulkWriter.AzureConnectParam(name, through(proxy, azurite), upload_chunk_size=block)
        with RemoteBulkWriter(SCHEMA, "x", param, local_path=tmp_path) as writer:
            writer.append_batch(columns(4_000))
            with pytest.raises(StorageError):
                writer.commit()
            assert writer.batch_files == []
            proxy.faults = Faults()
            writer.commit()
    assert len(writer.batch_files) == 1


def test_an_account_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="conn_str or account_url"):
        RemoteBulkWriter(SCHEMA, "x", RemoteBulkWriter.AzureConnectParam("any"), local_path=tmp_path)
