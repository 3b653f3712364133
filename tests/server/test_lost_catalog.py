"""A catalog that is lost beside full collections: the server doesn't start anew, the tables say what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet

from penstock.catalog import Catalog, open_catalog
from penstock.cli.main import cli
from penstock.collections.aliases import AliasService
from penstock.collections.collections import CollectionService
from penstock.collections.index_requests import CreateIndex
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.collections import CollectionSettings
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Table
from penstock.errors import CatalogError
from penstock.server.doctor import CheckResult, Health, adopt, examine
from penstock.server.engine_factory import engine_of
from penstock.server.lost_catalog import KEYS_MARKER, asks_for_keys, keep_marks, refuse_lost_catalog
from penstock.server.startup_policy import authentication_of
from penstock.settings import Settings
from tests.support.catalogs import SCHEMA
from tests.support.engines import only
from tests.support.http import make_settings
from tests.support.s3 import S3Server
from tests.support.servers import ended_server, running_server
from tests.support.tables import fixed_lists, vectors
from tests.support.wire import V2

KEY = Fernet.generate_key()
AUTO_ID = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
    ),
    auto_id=True,
)


def batch_of(schema: CollectionSchema, ids: range, partition: int) -> pa.RecordBatch:
    columns = [pa.array(ids, pa.int64()), fixed_lists(vectors(len(ids), 4))]
    columns += [pa.array(["{}"] * len(ids))] if schema.dynamic else []
    columns.append(pa.array([partition] * len(ids), pa.int64()))
    return pa.RecordBatch.from_arrays(columns, schema=canonical_schema(schema))


class Place:
    """A data folder whose catalog and tables are worked on without a server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        (settings.data_dir / "secret.key").write_bytes(KEY)
        self.engine: LanceEngine = engine_of(settings)
        self.engine.check()
        self.catalog = self.opened()
        self.catalog.clusters.ensure(settings.cluster_id, settings.region)

    def opened(self) -> Catalog:
        return open_catalog(f"sqlite:///{self.settings.data_dir / 'catalog.db'}", KEY)

    def create(self, name: str, schema: CollectionSchema = SCHEMA) -> str:
        collections = CollectionService(self.catalog, only(self.engine), lambda: None)
        made = collections.create(self.settings.cluster_id, "default", name, schema, CollectionSettings())
        return made.id

    def add_rows(self, collection_id: str, *, rows: int = 3, partition: int = 0, first: int = 0) -> None:
        collection = self.catalog.collections.by_id(collection_id)
        assert collection is not None
        table = Table.of(collection)
        batch = batch_of(collection.schema, range(first, first + rows), partition)
        staged = self.engine.stage(table, first + 1, iter([batch]))
        self.catalog.collections.raise_version(
            collection_id, self.engine.publish(table, first + 1, 1, [staged]).version
        )

    def lose(self) -> None:
        """The catalog is gone, as with its disk; the tables are not."""
        self.catalog.close()
        for file in self.settings.data_dir.glob("catalog.db*"):
            file.unlink()

    def adopted(self) -> list[CheckResult]:
        found = list(adopt(self.settings))
        self.catalog = self.opened()
        return found


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server) -> Iterator[Place]:
    store = {}
    if request.param == "s3":
        store = {
            "storage_url": f"s3://{s3.make_bucket()}/tables",
            "storage_endpoint": s3.endpoint,
            "storage_region": "us-east-1",
            "storage_access_key": "k",
            "storage_secret_key": "s",
        }
    made = Place(make_settings(tmp_path / "data", **store))
    yield made
    made.catalog.close()


def test_a_server_does_not_begin_anew_beside_full_collections(place: Place) -> None:
    refuse_lost_catalog(place.settings, place.engine, place.catalog, "c")
    docs = place.create("docs")
    place.add_rows(docs)
    refuse_lost_catalog(place.settings, place.engine, place.catalog, "c")
    place.lose()
    with pytest.raises(CatalogError, match=r"catalog c does not exist.*--adopt"):
        refuse_lost_catalog(place.settings, place.engine, None, "c")
    place.catalog = place.opened()
    with pytest.raises(CatalogError, match=r"has no collection.*1 tables"):
        refuse_lost_catalog(place.settings, place.engine, place.catalog, "c")


def test_a_table_that_a_create_left_half_made_keeps_no_server_from_its_start(place: Place) -> None:
    place.engine.create(Table(id="0123456789abcdef", schema=SCHEMA))
    refuse_lost_catalog(place.settings, place.engine, place.catalog, "c")
    assert {finding.health for finding in place.adopted()} == {Health.OK}
    assert not place.catalog.collections.all_ids()


def test_collections_come_back_as_they_were(place: Place) -> None:
    docs, ids = place.create("docs"), place.create("ids", AUTO_ID)
    gone = place.create("gone")
    collection = place.catalog.collections.by_id(docs)
    assert collection is not None
    PartitionService(place.catalog, only(place.engine)).create(collection, "p")
    PartitionService(place.catalog, only(place.engine)).create(collection, "q")
    PartitionService(place.catalog, only(place.engine)).drop(collection, "q")
    index = CreateIndex(field_name="vector", index_name="v", index_type="HNSW", metric="L2")
    IndexService(place.catalog, only(place.engine), lambda _: None).create(collection, index)
    AliasService(place.catalog, only(place.engine)).create(place.settings.cluster_id, "default", "docs", "current")
    place.add_rows(docs, partition=1)
    place.add_rows(ids, first=40)
    place.add_rows(gone, first=90)
    CollectionService(place.catalog, only(place.engine), lambda: None).drop(
        place.settings.cluster_id, "default", "gone"
    )
    before = [place.catalog.collections.by_id(table_id) for table_id in (docs, ids)]
    partitions, indexes = (
        place.catalog.collections.partitions(docs),
        place.catalog.collections.indexes(docs),
    )
    place.lose()
    found = place.adopted()
    assert [finding.health for finding in found] == [Health.OK, Health.OK, Health.WARN]
    after = [place.catalog.collections.by_id(table_id) for table_id in (docs, ids)]
    for one, other in zip(before, after, strict=True):
        assert one is not None
        assert other is not None
        facts = ("id", "number", "name", "database", "schema", "settings", "load_state", "version", "created_at")
        assert [getattr(one, fact) for fact in facts] == [getattr(other, fact) for fact in facts]
    assert place.catalog.collections.partitions(docs) == partitions
    assert place.catalog.collections.indexes(docs) == indexes
    assert place.catalog.aliases.names_of(docs) == ["current"]
    with place.catalog.database.write() as connection:
        assert place.catalog.collections.reserve_auto_ids(connection, ids, 5) == 43
    later = place.catalog.collections.by_id(docs)
    assert later is not None
    assert PartitionService(place.catalog, only(place.engine)).create(later, "r").number == 3, "never given again"
    assert [finding.found for finding in place.adopted()] == ["every table of the store is in the catalog"]


def test_tables_of_earlier_releases_are_adopted_as_far_as_they_say(tmp_path: Path) -> None:
    place = Place(make_settings(tmp_path / "data"))
    docs = place.create("docs")
    place.add_rows(docs, partition=7)
    (tmp_path / "data" / "collections" / f"{docs}.lance" / "penstock.json").unlink()
    place.lose()
    found = place.adopted()
    assert found[0].health is Health.WARN
    assert "name and schema are guessed" in found[0].found
    made = place.catalog.collections.by_id(docs)
    assert made is not None
    assert made.name == f"adopted_{docs[:8]}"
    assert made.schema["id"].primary
    assert made.schema["vector"].dim == SCHEMA["vector"].dim
    assert [partition.name for partition in place.catalog.collections.partitions(docs)] == ["_default", "_adopted_7"]
    assert place.engine.count(Table.of(made)) == 3
    place.catalog.close()


def test_doors_that_had_keys_stay_shut(place: Place) -> None:
    assert not asks_for_keys(place.settings, place.engine)
    assert not authentication_of(place.settings, place.catalog).is_enabled
    made = CliRunner().invoke(
        cli, ["keys", "create", "ops", "--role", "admin", "--data-dir", str(place.settings.data_dir)]
    )
    assert made.exit_code == 0, made.output
    marker = place.settings.data_dir / KEYS_MARKER
    assert marker.exists(), "at once, whether a server runs or not"
    keep_marks(place.settings, place.catalog, place.engine)
    place.lose()
    place.catalog = place.opened()
    for also_the_marker in (False, True):  # the store says it, too
        if also_the_marker:
            marker.unlink()
        had_keys = asks_for_keys(place.settings, place.engine)
        assert authentication_of(place.settings, place.catalog, had_keys=had_keys).is_enabled
    keep_marks(place.settings, place.catalog, place.engine)
    note = json.loads(place.engine.note() or b"")
    assert note["keys"], "it is never taken back"


def test_adopting_leaves_the_server_shut(tmp_path: Path) -> None:
    place = Place(make_settings(tmp_path / "data"))
    place.add_rows(place.create("docs"))
    place.lose()
    found = place.adopted()
    assert "rejects all calls until a key is created" in found[-1].found
    assert asks_for_keys(place.settings, place.engine)
    place.catalog.close()


def test_the_doctor_tells_an_empty_catalog_and_damaged_tables(tmp_path: Path) -> None:
    place = Place(make_settings(tmp_path / "data", import_root=(str(tmp_path),)))
    docs = place.create("docs")
    place.add_rows(docs)
    (file,) = (tmp_path / "data" / "collections" / f"{docs}.lance" / "data").iterdir()
    content = file.read_bytes()
    file.unlink()
    found = {finding.check: finding for finding in examine(place.settings)}
    assert found["collection"].health is Health.FAIL
    assert f"data/{file.name} is missing" in found["collection"].found
    file.write_bytes(content)
    assert not [finding for finding in examine(place.settings) if finding.health is Health.FAIL]
    place.lose()
    found = {finding.check: finding for finding in examine(place.settings)}
    assert "--adopt" in found["catalog"].remedy
    place.opened().close()
    failures = [finding for finding in examine(place.settings) if finding.health is Health.FAIL]
    assert [finding.check for finding in failures] == ["catalog"]
    assert "has no collection" in failures[0].found


def test_a_real_server(tmp_path: Path) -> None:
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        (server.import_root / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
        client.collections.create("docs", dimension=2)
        client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
    for file in (tmp_path / "data").glob("catalog.db*"):
        file.unlink()
    done = ended_server("--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "penstock doctor --adopt" in done.stderr
    assert not (tmp_path / "data" / "catalog.db").exists(), "nothing was changed"
    doctor = CliRunner().invoke(cli, ["doctor", "--adopt", "--data-dir", str(tmp_path / "data")])
    assert doctor.exit_code == 0, doctor.output
    key = CliRunner().invoke(cli, ["keys", "create", "ops", "--role", "admin", "--data-dir", str(tmp_path / "data")])
    with running_server(tmp_path, forked=True) as server:
        assert httpx.post(f"{server.url}{V2}/list", content="{}").json()["code"] == 1800
        with server.client(api_key=key.stdout.strip()) as client:
            assert client.count("docs") == 1
            client.imports.wait(client.imports.create("docs", ["docs.jsonl"]))
            assert client.count("docs") == 2
