"""Import jobs whose collection is renamed or gets an alias while they are at work."""

from __future__ import annotations

from penstock.collections.aliases import AliasService
from penstock.collections.alterations import AlterationService, RenameCollection
from penstock.domain.access import ANONYMOUS
from penstock.domain.jobs import JobState
from tests.support.catalogs import CLUSTER
from tests.support.worlds import World

ROWS = '{"id": 1, "vector": [1, 2, 3, 4]}\n{"id": 2, "vector": [1, 2, 3, 4]}\n'


def rename(world: World, name: str, new_name: str, new_database: str) -> None:
    request = RenameCollection(
        caller=ANONYMOUS,
        cluster_id=CLUSTER,
        database="default",
        name=name,
        new_name=new_name,
        new_database=new_database,
    )
    AlterationService(world.catalog, world.engines, world.scheduler.maintenance.request).rename(request)


def test_a_job_that_waits_for_its_commit_commits_under_the_new_name(world: World) -> None:
    docs = world.collection()
    (world.files / "a.jsonl").write_text(ROWS)
    job = world.create(["a.jsonl"], auto_commit="false")
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    world.catalog.databases.create(CLUSTER, "sales", {})
    rename(world, "docs", "texts", "sales")
    world.imports.commit(CLUSTER, job.id, ANONYMOUS)
    ended = world.ended(job)
    assert (ended.state, ended.database, ended.collection) == (JobState.COMPLETED, "sales", "texts")
    assert world.count(docs) == 2
    assert world.imported(["a.jsonl"], collection=world.collection().name).state is JobState.COMPLETED
    assert world.count(docs) == 2, "the job went into the new collection of the old name"


def test_a_job_made_by_alias_stays_with_its_collection_when_the_alias_moves_on(world: World) -> None:
    aliases = AliasService(world.catalog, world.engines)
    old, new = world.collection("v1"), world.collection("v2")
    (world.files / "a.jsonl").write_text(ROWS)
    aliases.create(CLUSTER, "default", "v1", "current")
    job = world.create(["a.jsonl"], collection="current", auto_commit="false")
    aliases.alter(CLUSTER, "default", "v2", "current")
    world.until(lambda: world.job(job.id).state is JobState.UNCOMMITTED)
    world.imports.commit(CLUSTER, job.id, ANONYMOUS)
    assert world.ended(job).collection == "v1"
    assert (world.count(old), world.count(new)) == (2, 0)
