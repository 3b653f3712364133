"""Lance's exceptions become errors that a person can act on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.engines.lance.layout.errors import translate
from penstock.errors import StorageConflict, StorageError, StorageFull, StorageUnavailable

OPTIONS = {"aws_secret_access_key": "very-secret", "aws_region": "us-east-1"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("LanceError(IO): No space left on device (os error 28), /home/x/writer.rs:254:9", StorageFull),
        ("Disk quota exceeded (os error 122)", StorageFull),
        ("Retryable commit conflict for version 6: preempted. Please retry., /x/commit.rs:1:2", StorageConflict),
        (
            "Incompatible transaction: This UpdateConfig transaction is incompatible with UpdateConfig, /x/a.rs:1:2",
            StorageConflict,
        ),
        ("error sending request for url (http://127.0.0.1:9): Connection refused", StorageUnavailable),
        (
            "Generic S3 error: Error getting list response body: HTTP error: request or response body error",
            StorageUnavailable,
        ),
        ("Permission denied (os error 13)", StorageError),
        ("something else", StorageError),
    ],
)
def test_kinds(text: str, kind: type[StorageError]) -> None:
    error = translate(OSError(text), "writing rows of job 7", OPTIONS)
    assert type(error) is kind
    assert "writing rows of job 7" in error.message
    assert ".rs:" not in error.message


def test_secrets_are_cut_out() -> None:
    error = translate(OSError("403 for key very-secret in us-east-1"), "reading", OPTIONS)
    assert "very-secret" not in error.message
    assert "us-east-1" in error.message


FILL_A_DISK = """
import sys
from penstock.engines.lance import LanceEngine
from penstock.errors import StorageFull
from tests.support.tables import import_rows, new_table, plain, plain_batch, vectors
from pathlib import Path

engine = LanceEngine(sys.argv[1])
table = new_table(engine, plain(128))
before = sorted(Path(sys.argv[1]).rglob("*"))
batches = (plain_batch(vectors(1000, 128), 1000 * i, schema=table.schema) for i in range(40))
try:
    engine.stage(table, 7, batches)
except StorageFull as error:
    print(error)
left = [path for path in sorted(Path(sys.argv[1]).rglob("*")) if path not in before and path.is_file()]
assert not left, left
table, _ = import_rows(engine, table, plain_batch(vectors(3, 128), schema=table.schema))
assert engine.count(table) == 3
"""


def test_a_full_disk_says_so_and_is_as_before(tmp_path: Path) -> None:
    """In a mount namespace of its own, on a file system of 8 MB."""
    script = f"mount -t tmpfs -o size=8m tmpfs {tmp_path} && exec {sys.executable} - {tmp_path}"
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a file system")
    done = subprocess.run(
        [*alone, "sh", "-c", script], input=FILL_A_DISK, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "No space is left while writing rows of job 7" in done.stdout
