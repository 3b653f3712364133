"""The bulk writer for import files in an object store."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from penstock.bulk_writer.arguments import folder_path
from penstock.bulk_writer.connection import AzureConnectParam as _AzureConnectParam
from penstock.bulk_writer.connection import S3ConnectParam as _S3ConnectParam
from penstock.bulk_writer.progress import ProgressCallback
from penstock.bulk_writer.rolling_writer import Deliver
from penstock.bulk_writer.uploads import Uploader, open_uploader
from penstock.bulk_writer.writer import GB, BulkWriter
from penstock.errors import PenstockError
from penstock.writers.file_type import BulkFileType

__all__ = ["RemoteBulkWriter"]


class RemoteBulkWriter(BulkWriter):
    """Write import files and upload each when it is complete, as ``<remote_path>/<uuid>/1.parquet``, ….

    ``batch_files`` holds the keys of uploaded files, without a leading slash. An upload runs while the next chunk is
    being filled. The local copy is removed after the upload has been verified; if the upload fails, the error has the
    copy's path, and the next :meth:`commit` retries, beginning with the first file that is not uploaded yet.

    Args:
        remote_path: the folder in the bucket.
        connect_param: an :class:`S3ConnectParam` or :class:`AzureConnectParam`.
        chunk_size: as for :class:`~penstock.bulk_writer.LocalBulkWriter`, 1 GiB by default.
        local_path: folder for the files until they are uploaded; by default ``bulk_writer`` in the script's folder.

    The other arguments are those of :class:`~penstock.bulk_writer.LocalBulkWriter`.
    """

    S3ConnectParam: TypeAlias = _S3ConnectParam
    ConnectParam: TypeAlias = _S3ConnectParam
    AzureConnectParam: TypeAlias = _AzureConnectParam

    def __init__(
        self,
        schema: Any,
        remote_path: str | PurePosixPath,
        connect_param: _S3ConnectParam | _AzureConnectParam,
        chunk_size: int = GB,
        file_type: BulkFileType = BulkFileType.PARQUET,
        config: Mapping[str, str] | None = None,
        *,
        local_path: str | Path | None = None,
        segment_size: int = 0,
        progress: ProgressCallback | None = None,
        progress_bar: bool = False,
    ) -> None:
        self._uploader = open_uploader(connect_param)
        self._remote_root = folder_path("remote_path", remote_path)
        script_folder = Path(sys.argv[0]).resolve().parent / "bulk_writer"
        super().__init__(
            schema,
            script_folder if local_path is None else folder_path("local_path", local_path),
            chunk_size,
            file_type,
            config,
            segment_size=segment_size,
            progress=progress,
            progress_bar=progress_bar,
        )

    @property
    def data_path(self) -> PurePosixPath:
        """The folder in the bucket, with a leading slash as in pymilvus."""
        return self._remote_path

    @property
    def _target(self) -> object:
        return self._remote_path

    def _delivery(self) -> Deliver:
        self._remote_path = PurePosixPath("/") / self._remote_root / self.uuid
        return _Delivery(self._uploader, self._folder, self._remote_path)


class _Delivery:
    """Upload the files of one chunk after another, and keep track of uploaded files across retries."""

    def __init__(self, uploader: Uploader, folder: Path, remote_path: PurePosixPath) -> None:
        self._uploader = uploader
        self._folder = folder
        self._remote_path = remote_path
        self._uploaded: dict[Path, str] = {}

    def __call__(self, paths: list[Path]) -> list[str]:
        for path in paths:
            if path not in self._uploaded:
                self._upload(path, str(self._remote_path / path.relative_to(self._folder).as_posix()).lstrip("/"))
        keys = [self._uploaded.pop(path) for path in paths]
        for path in paths:
            path.unlink()
            if path.parent != self._folder and not any(path.parent.iterdir()):
                path.parent.rmdir()
        return keys

    def _upload(self, path: Path, key: str) -> None:
        try:
            self._uploader.put(path, key)
        except PenstockError as error:
            raise type(error)(
                f"{error.message}. The file is kept as {str(path)!r}, and commit() tries again; batch_files "
                "lists what is uploaded",
                **{**error.details, "path": str(path)},
            ) from None
        self._uploaded[path] = key
