"""Import roots in Azure Blob Storage, on Azurite, which checks keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots
from tests.support.azurite_server import ACCOUNT, KEY, AzuriteServer, azurite_server

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="Azurite is installed with npm"),
]

NUMBERS = count()


@pytest.fixture(scope="module")
def azurite() -> Iterator[AzuriteServer]:
    with azurite_server() as server:
        yield server


def settings(azurite: AzuriteServer, **more: str) -> dict[str, dict[str, str]]:
    return {"az": {"endpoint": azurite.url.replace(ACCOUNT, "{account}"), **more}}


def client_of(azurite: AzuriteServer) -> BlobServiceClient:
    from azure.storage.blob import BlobServiceClient  # `make test` collects these tests only

    return BlobServiceClient.from_connection_string(azurite.connection_string)


def filled(azurite: AzuriteServer, *names: str, public: bool = False) -> str:
    """A new container with these blobs."""
    container = f"container-{next(NUMBERS)}"
    client = client_of(azurite)
    client.create_container(container, public_access="container" if public else None)
    for name in names:
        client.get_blob_client(container, name).upload_blob(b"[1]")
    return container


def content(location: Location) -> bytes:
    with open_source(location).open_stream() as stream:
        return stream.read()


def test_blobs_and_folders_below_a_root(azurite: AzuriteServer) -> None:
    container = filled(azurite, "in/docs/a b.json", "in/docs/c.json")
    roots = ImportRoots([f"az://{container}/in"], settings(azurite, account=ACCOUNT, account_key=KEY))
    for path in (
        f"az://{container}/in/docs/a b.json",
        f"https://{ACCOUNT}.blob.core.windows.net/{container}/in/docs/a%20b.json",
        f"abfss://{container}@{ACCOUNT}.dfs.core.windows.net/in/docs/a b.json",
        "docs/a b.json",
    ):
        [found] = roots.locate(path)
        assert (found.uri, found.size) == (f"az://{container}/in/docs/a b.json", 3)
        assert content(found) == b"[1]"
        assert content(roots.restore(found.to_json())) == b"[1]"
    members = roots.locate("docs/")
    assert [member.name for member in members] == ["docs/a b.json", "docs/c.json"]
    assert content(members[1]) == b"[1]"
    roots.probe()
    with pytest.raises(FileMissing):
        roots.locate("docs/d.json")
    with pytest.raises(PathNotAllowed):
        roots.check(f"https://another1.blob.core.windows.net/{container}/in/docs/c.json", has_keys=True)


def test_a_blob_that_was_overwritten(azurite: AzuriteServer) -> None:
    container = filled(azurite, "a.json")
    roots = ImportRoots([f"az://{container}"], settings(azurite, account=ACCOUNT, account_key=KEY))
    [found] = roots.locate("a.json")
    [listed] = roots.locate(f"az://{container}/")
    client = client_of(azurite)
    client.get_blob_client(container, "a.json").upload_blob(b"[2]", overwrite=True)
    for each in (found, listed):
        with pytest.raises(FileUnreadable, match="has changed while it was imported"):
            content(each)


def test_the_callers_keys(azurite: AzuriteServer) -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    container = filled(azurite, "a.json")
    token = generate_container_sas(
        ACCOUNT,
        container,
        account_key=KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    path = f"https://{ACCOUNT}.blob.core.windows.net/{container}/a.json"
    roots = ImportRoots(["az://"], settings(azurite))
    with pytest.raises(PathNotAllowed, match="only with the caller's own credentials"):
        roots.check(path, has_keys=False)
    for keys in (
        {"access_key": ACCOUNT, "secret_key": KEY},
        {"access_key": KEY},
        {"token": token},
        {"token": f"?{token}"},
    ):
        [found] = roots.locate(path, **keys)
        assert found.uri == f"az://{container}@{ACCOUNT}/a.json"
        assert content(found) == b"[1]"
        assert content(roots.restore(found.to_json(), **keys)) == b"[1]"
        assert KEY not in repr(found)
    wrong = KEY[:-4] + "AA=="
    with pytest.raises(FileUnreadable, match="access denied") as raised:
        roots.locate(path, access_key=ACCOUNT, secret_key=wrong)
    assert wrong not in str(raised.value)
    with pytest.raises(FileUnreadable, match="not the name of an Azure storage account"):
        roots.locate(f"az://{container}/a.json", access_key="evil.example/#", secret_key=KEY)


def test_a_public_container_of_another_account_needs_no_keys(azurite: AzuriteServer) -> None:
    container, closed = filled(azurite, "a.json", public=True), filled(azurite, "a.json")
    addresses = [f"https://{ACCOUNT}.blob.core.windows.net/{each}" for each in (container, closed)]
    roots = ImportRoots(addresses, settings(azurite, account="mine1", account_key=KEY))
    [found] = roots.locate(f"{addresses[0]}/a.json")
    assert "account_key" not in found.credentials
    assert content(found) == b"[1]"
    with pytest.raises((FileUnreadable, FileMissing)):
        roots.locate(f"{addresses[1]}/a.json")
