"""Files in an Azure container."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import BlobServiceClient

from penstock.bulk_writer import RemoteBulkWriter
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, StoreError
from tests.support.azurite_server import ACCOUNT, KEY, AzuriteServer, azurite_server

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
        with pytest.raises(StoreError, match=r"container 'made-later' .* does not exist"):
            writer.commit()
        client(azurite).create_container("made-later")
    assert len(writer.batch_files) == 1


def test_a_wrong_key_is_told(azurite: AzuriteServer, tmp_path: Path) -> None:
    wrong = base64.b64encode(b"wrong key").decode()
    param = RemoteBulkWriter.AzureConnectParam("any", azurite.connection_string.replace(KEY, wrong))
    writer = RemoteBulkWriter(SCHEMA, "x", param, local_path=tmp_path)
    writer.append_batch(columns(1))
    with pytest.raises(StoreError, match="access denied"):
        writer.commit()


def test_an_account_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="conn_str or account_url"):
        RemoteBulkWriter(SCHEMA, "x", RemoteBulkWriter.AzureConnectParam("any"), local_path=tmp_path)
