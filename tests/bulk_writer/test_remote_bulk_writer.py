"""Files in an S3 bucket: where they are, that they are whole, and what happens when the store says no."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import obstore
import pyarrow.parquet as pq
import pytest
from obstore.store import S3Store

from penstock.bulk_writer import BulkFileType, RemoteBulkWriter
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, StorageError, StorageUnavailable
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server, s3_server

DIM = 256
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=DIM),
    )
)


def columns(rows: int) -> dict[str, Any]:
    return {"id": np.arange(rows), "vector": np.random.default_rng(1).random((rows, DIM), np.float32)}


def connect(s3: S3Server, bucket: str, **changes: Any) -> RemoteBulkWriter.S3ConnectParam:
    given: dict[str, Any] = {
        "bucket_name": bucket,
        "endpoint": urlsplit(s3.endpoint).netloc,
        "access_key": "server-key",
        "secret_key": "server-secret",
    }
    return RemoteBulkWriter.ConnectParam(**{**given, **changes})


def store(s3: S3Server, bucket: str) -> S3Store:
    settings: Any = {**s3.settings, "bucket": bucket}
    return S3Store(config=settings, client_options={"allow_http": True})


def test_files_are_uploaded_and_local_copies_removed(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket()
    told: list[list[str]] = []
    with RemoteBulkWriter(SCHEMA, "/import/data", connect(s3, bucket), local_path=tmp_path / "local") as writer:
        for rows in (10, 20):
            writer.append_batch(columns(rows))
            writer.commit(call_back=told.append)
        assert list(writer._folder.iterdir()) == []
    folder = f"import/data/{writer.uuid}"
    assert writer.batch_files == told == [[f"{folder}/1.parquet"], [f"{folder}/2.parquet"]]
    assert writer.data_path == PurePosixPath("/") / folder
    assert list((tmp_path / "local").iterdir()) == []
    there = obstore.get(store(s3, bucket), writer.batch_files[1][0]).bytes()
    (tmp_path / "2.parquet").write_bytes(there)
    assert pq.read_table(tmp_path / "2.parquet").num_rows == 20


def test_large_files_go_in_parts(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket()
    data = columns(20_000)
    with RemoteBulkWriter(SCHEMA, "data", connect(s3, bucket), local_path=tmp_path) as writer:
        writer.append_batch(data)
    meta = obstore.head(store(s3, bucket), writer.batch_files[0][0])
    assert str(meta["e_tag"]).strip('"').endswith("-3")
    (tmp_path / "1.parquet").write_bytes(obstore.get(store(s3, bucket), meta["path"]).bytes())
    read = pq.read_table(tmp_path / "1.parquet").column("vector").combine_chunks()
    assert np.array_equal(read.flatten().to_numpy().reshape(-1, DIM), data["vector"])  # type: ignore[attr-defined]


def test_numpy_sets(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket()
    with RemoteBulkWriter(
        SCHEMA, "", connect(s3, bucket), file_type=BulkFileType.NUMPY, local_path=tmp_path
    ) as writer:
        writer.append_batch(columns(3))
    assert writer.batch_files == [[f"{writer.uuid}/1/id.npy", f"{writer.uuid}/1/vector.npy"]]
    assert list(tmp_path.iterdir()) == []


def test_credentials_of_a_provider(s3: S3Server, tmp_path: Path) -> None:
    class Provider:
        """As minio's providers are."""

        def retrieve(self) -> Any:
            return self

        access_key, secret_key, session_token, expiration = "key", "secret", "token", None

    bucket = s3.make_bucket()
    param = connect(s3, bucket, access_key=None, secret_key=None, credentials=Provider())
    with RemoteBulkWriter(SCHEMA, "data", param, local_path=tmp_path) as writer:
        writer.append_batch(columns(1))
    assert len(writer.batch_files) == 1


def test_a_missing_bucket_is_told_and_the_file_kept(s3: S3Server, tmp_path: Path) -> None:
    bucket = "made-too-late"
    with RemoteBulkWriter(SCHEMA, "data", connect(s3, bucket), local_path=tmp_path) as writer:
        writer.append_batch(columns(5))
        with pytest.raises(StorageError, match=r"bucket 'made-too-late' at .* does not exist") as caught:
            writer.commit()
        kept = Path(caught.value.details["path"])
        assert pq.read_table(kept).num_rows == 5
        assert writer.batch_files == []
        s3.make_bucket(bucket)
        writer.append_batch(columns(6))
        writer.commit()
        assert [Path(batch_file[0]).name for batch_file in writer.batch_files] == ["1.parquet", "2.parquet"]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_upload_comes_out_of_the_next_call(s3: S3Server, tmp_path: Path) -> None:
    writer = RemoteBulkWriter(SCHEMA, "data", connect(s3, "nowhere"), local_path=tmp_path, chunk_size=2000)
    with pytest.raises(StorageError, match="does not exist"), writer:
        for number in range(10_000):
            writer.append_row({"id": number, "vector": np.zeros(DIM)})
    assert writer.batch_files == []
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_wrong_keys_are_told(tmp_path: Path) -> None:
    with s3_server(open_calls=1) as strict:
        bucket = strict.make_bucket()
        writer = RemoteBulkWriter(
            SCHEMA, "data", connect(strict, bucket, secret_key="my-secret"), local_path=tmp_path
        )
        writer.append_batch(columns(5))
        with pytest.raises(StorageError, match="access denied") as caught:
            writer.commit()
        assert "my-secret" not in str(caught.value)


def test_a_store_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Trying again for two minutes is right for users and long for a test.
    monkeypatch.setattr("penstock.bulk_writer.uploads_s3._RETRY", {"total_max_attempts": 1})
    param = RemoteBulkWriter.S3ConnectParam("bucket", "127.0.0.1:9", "key", "secret")
    writer = RemoteBulkWriter(SCHEMA, "data", param, local_path=tmp_path)
    writer.append_batch(columns(5))
    with pytest.raises(StorageUnavailable, match="can't be reached"):
        writer.commit()


def test_a_failed_upload_goes_on_with_the_parts_that_are_missing(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.bulk_writer.uploads_s3._RETRY", {"total_max_attempts": 1})
    bucket = s3.make_bucket()
    data = columns(40_000)
    # The call that begins the upload and two of its five parts get through.
    with faulty_store(s3.endpoint, Faults(refuse=1.0, spared=3), seed=1) as proxy:
        param = connect(s3, bucket, endpoint=proxy.url)
        with RemoteBulkWriter(SCHEMA, "data", param, local_path=tmp_path / "local") as writer:
            writer.append_batch(data)
            with pytest.raises(StorageUnavailable, match="status 503"):
                writer.commit()
            assert writer.batch_files == []
            proxy.faults = Faults()
            writer.commit()
        sent = [each for each in proxy.passed if "partNumber" in each]
        assert len(sent) == len(set(sent)) == 5
        assert len([each for each in proxy.passed if each.endswith("?uploads")]) == 1
    (tmp_path / "1.parquet").write_bytes(obstore.get(store(s3, bucket), writer.batch_files[0][0]).bytes())
    read = pq.read_table(tmp_path / "1.parquet").column("vector").combine_chunks()
    assert np.array_equal(read.flatten().to_numpy().reshape(-1, DIM), data["vector"])  # type: ignore[attr-defined]


def test_a_store_that_fails_now_and_then(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket()
    with faulty_store(s3.endpoint, Faults(refuse=0.2, cut=0.15, delay=0.1, pause=0.1), seed=3) as proxy:
        param = connect(s3, bucket, endpoint=proxy.url)
        with RemoteBulkWriter(SCHEMA, "data", param, local_path=tmp_path, chunk_size=10 << 20) as writer:
            writer.append_batch(columns(30_000))
    assert proxy.met["refuse"]
    assert proxy.met["cut"]
    assert len(writer.batch_files) == 3
    sizes = [obstore.head(store(s3, bucket), batch_file[0])["size"] for batch_file in writer.batch_files]
    assert sum(sizes) > 30_000 * DIM * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [100, 20_000], ids=["one call", "parts"])
def test_a_file_that_was_spoilt_on_the_way_is_not_taken_for_whole(s3: S3Server, tmp_path: Path, rows: int) -> None:
    bucket = s3.make_bucket()
    with faulty_store(s3.endpoint, Faults(spoil=1.0, spared=1 if rows > 100 else 0), seed=1) as proxy:
        param = connect(s3, bucket, endpoint=proxy.url)
        with RemoteBulkWriter(SCHEMA, "data", param, local_path=tmp_path) as writer:
            writer.append_batch(columns(rows))
            with pytest.raises(StorageError):
                writer.commit()
            assert writer.batch_files == []
            proxy.faults = Faults()
            writer.commit()
    assert len(writer.batch_files) == 1
    assert list(tmp_path.iterdir()) == []


def test_parameters_that_name_no_store(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="connect_param"):
        RemoteBulkWriter(SCHEMA, "data", {"bucket_name": "b"}, local_path=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="http_client"):
        RemoteBulkWriter(
            SCHEMA, "data", RemoteBulkWriter.ConnectParam("b", http_client=object()), local_path=tmp_path
        )


def test_keys_are_not_shown() -> None:
    param = RemoteBulkWriter.ConnectParam("bucket", "host", "my-key", "my-secret", session_token="my-token")
    assert not any(secret in repr(param) for secret in ("my-key", "my-secret", "my-token"))
