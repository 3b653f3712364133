"""What an installation without extras can do, and what it says of the rest."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from penstock.cli.main import COMMANDS
from penstock.errors import InvalidParameter, MissingExtra
from penstock.extras import SERVER_MODULES, require_extra, require_server
from tests.support.installs import ROOT, Installation, build_wheel, install
from tests.support.servers import RunningServer

SENTENCE = "the server and its commands are not installed (no module alembic): pip install 'penstock-import[server]'"
WRITE_AND_IMPORT = """
import sys
from penstock import Client
from penstock.bulk_writer import BulkFileType, LocalBulkWriter
from penstock.domain.rest_schema import schema_from_rest

url, folder = sys.argv[1:]
fields = {"fields": [
    {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
    {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": "4"}},
]}
schema = schema_from_rest(fields)
files = []
for file_type in (BulkFileType.PARQUET, BulkFileType.JSON, BulkFileType.CSV, BulkFileType.NUMPY):
    with LocalBulkWriter(schema, folder, file_type=file_type) as writer:
        for number in range(10):
            writer.append_row({"id": number, "vector": [0.5] * 4})
    files += [list(map(str, group)) for group in writer.batch_files]
with Client(url) as client:
    client.collections.create("base_install", schema=fields)
    for group in files:
        client.imports.wait(client.imports.create("base_install", [group]), progress=True)
    print(client.count("base_install"))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("base")
    return install(build_wheel(folder), ROOT / "requirements" / "base.txt", folder / "environment")


@pytest.mark.slow
def test_the_base_package_has_under_15_distributions(base: Installation) -> None:
    listed = json.loads(base.run("python", "-m", "pip", "list", "--format", "json").stdout)
    names = {package["name"] for package in listed} - {"pip", "setuptools"}
    assert "penstock-import" in names
    assert len(names) < 15


@pytest.mark.slow
def test_the_base_package_misses_no_dependency(base: Installation) -> None:
    assert base.run("python", "-m", "pip", "check").stdout == "No broken requirements found.\n"


@pytest.mark.slow
def test_the_base_package_writes_files_and_imports_them(base: Installation, server: RunningServer) -> None:
    printed = base.python(WRITE_AND_IMPORT, server.url, str(server.import_root / "base_install"))
    assert printed.splitlines()[-1] == "40"


@pytest.mark.slow
def test_the_commands_of_the_base_package_convert_import_and_search(
    base: Installation, server: RunningServer
) -> None:
    assert "Commands:" in base.run("penstock", "--help").stdout
    folder = server.import_root / "base_commands"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(f'{{"id": {n}, "vector": [{n}, 1]}}\n' for n in range(5)))
    address = ("--url", server.url)
    for command in (
        ("collections", "create", "base_commands", "--dimension", "2"),
        ("convert", str(folder / "rows.jsonl"), "--collection", "base_commands", "--out", str(folder / "out")),
        ("import", str(folder / "rows.jsonl"), "--collection", "base_commands"),
        ("jobs", "list"),
        ("databases", "list"),
        ("partitions", "list", "base_commands"),
        ("query", "base_commands", "--filter", "id < 3"),
        ("search", "base_commands", "--id", "1"),
    ):
        done = base.run("penstock", *command, *address)
        assert done.returncode == 0, (command, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name, listed in COMMANDS.items() if listed.needs_server])
def test_a_command_of_the_server_says_how_to_install_it(base: Installation, command: str) -> None:
    done = base.run("penstock", command)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {SENTENCE}\n")


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name, listed in COMMANDS.items() if not listed.needs_server])
def test_a_command_of_the_client_has_its_help(base: Installation, command: str) -> None:
    done = base.run("penstock", command, "--help")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["penstock.server", "penstock.server.serve"])
def test_importing_the_server_says_how_to_install_it(base: Installation, module: str) -> None:
    printed = base.python(f"try:\n    import {module}\nexcept ImportError as error:\n    print(error)")
    assert printed == f"{SENTENCE}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("param", "store", "module"),
    [
        ("S3ConnectParam('bucket')", "S3", "botocore"),
        ("AzureConnectParam('container')", "Azure", "azure.storage.blob"),
    ],
)
def test_uploads_say_what_they_need(base: Installation, param: str, store: str, module: str) -> None:
    printed = base.python(
        "from penstock.bulk_writer.connection import AzureConnectParam, S3ConnectParam\n"
        "from penstock.bulk_writer.uploads import open_uploader\n"
        f"try:\n    open_uploader({param})\nexcept ImportError as error:\n    print(error)"
    )
    remedy = f"pip install 'penstock-import[{store.lower()}]'"
    assert printed == f"uploads to {store} need its client library (no module {module}): {remedy}\n"


def test_the_server_has_the_modules_of_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {canonicalize_name(Requirement(text).name) for text in project["optional-dependencies"]["server"]}
    distributions = packages_distributions()
    # `google` is shared by several distributions.
    checked = {
        canonicalize_name(name)
        for module in SERVER_MODULES
        for name in (["protobuf"] if module == "google.protobuf" else distributions[module])
    }
    assert checked == asked - {"uvloop", "tzdata", "isal"}  # the server runs without them


def test_an_extra_that_is_installed_passes() -> None:
    require_server()
    require_extra("otel", "opentelemetry.sdk", reason="traces need OpenTelemetry")


def test_a_missing_module_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtra) as caught:
        require_extra(
            "ray", "json", "no_such.module", reason="--runner ray needs Ray", otherwise="use --runner local"
        )
    assert str(caught.value) == (
        "--runner ray needs Ray (no module no_such.module): pip install 'penstock-import[ray]', or use --runner local"
    )
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, InvalidParameter)
