"""One server for the released clients of this folder: with keys, a folder and a bucket to import from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.support.s3 import S3Server
from tests.support.servers import running_server


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientServer:
    """``url`` takes HTTP and gRPC, ``key`` is an admin's, ``files`` a folder and ``bucket`` a bucket it may read."""

    url: str
    key: str
    files: Path
    s3: S3Server
    bucket: str


@pytest.fixture(scope="session")
def client_server(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[ClientServer]:
    bucket = s3.make_bucket()
    folder = tmp_path_factory.mktemp("clients")
    roots = ["--import-root", f"s3://{bucket}"]
    with running_server(folder, *roots, env=s3.environment, forked=True) as server:
        made = CliRunner().invoke(
            cli, ["keys", "create", "ops", "--role", "admin", "--data-dir", str(server.data_dir)]
        )
        assert made.exit_code == 0, made.output
        yield ClientServer(url=server.url, key=made.stdout.strip(), files=server.import_root, s3=s3, bucket=bucket)
